use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor};

/// What has a comment in the contract.
pub(super) trait Commented {
    fn file(&self) -> FileDescriptor;
    /// Its place in the file, as `google.protobuf.SourceCodeInfo` has it.
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

/// The comment before it, its lines joined.
pub(super) fn comment(of: &impl Commented) -> String {
    let file = of.file();
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let text = locations
        .filter(|location| location.path == of.place())
        .find_map(|found| found.leading_comments.as_deref());
    text.unwrap_or_default().lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}
