use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor};

/// An element of the contract with a comment.
pub(super) trait Commented {
    fn file(&self) -> FileDescriptor;
    /// Its location in the file, as in `google.protobuf.SourceCodeInfo`.
    fn place(&self) -> &[i32];
}

macro_rules! commented {
    ($($descriptor:ty),*) => {
        $(impl Commented for $descriptor {
            fn file(&self) -> FileDescriptor {
                self.parent_file()
            }

            fn place(&self) -> &[i32] {
                self.path()
            }
        })*
    };
}

commented!(EnumDescriptor, MessageDescriptor, MethodDescriptor);

impl Commented for FieldDescriptor {
    fn file(&self) -> FileDescriptor {
        self.parent_message().parent_file()
    }

    fn place(&self) -> &[i32] {
        self.path()
    }
}

/// The comment before it, with its lines joined.
pub(super) fn comment(of: &impl Commented) -> String {
    let file = of.file();
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let text = locations
        .filter(|location| location.path == of.place())
        .find_map(|found| found.leading_comments.as_deref());
    text.unwrap_or_default().lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}
