//! Compiles `proto/` without protoc: messages and clients in one pass, servers in a
//! second one with a custom codec. `Event` is written by hand, see `src/event.rs`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;
use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());

    let mut compiler = Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files([
        "chat.proto",
        "storage/storage.proto",
        "cluster/cluster.proto",
        "events/events.proto",
    ])?;
    let with_comments = compiler.file_descriptor_set();

    // For reflection and the REST router: includes the extension options, which the
    // typed form drops.
    let mut compiler = Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["chat.proto"])?;
    std::fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;

    let mut compiler = Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["events/events.proto"])?;
    std::fs::write(out.join("events_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    // By their names, the cost of messages is found before they are decoded.
    let mut named = tonic_prost_build::Config::new();
    named.enable_type_names();
    let has_grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(has_grpc)
        .build_server(false)
        .build_transport(false)
        .extern_path(".parlance.v1.Event", "crate::v1::Event")
        .bytes(".parlance.storage.v1")
        .bytes(".parlance.cluster.v1")
        .compile_fds_with_config(with_comments.clone(), named)?;

    let servers = out.join("server");
    std::fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .extern_path(".parlance.v1", "crate::v1")
        .extern_path(".parlance.events.v1", "crate::events::v1")
        .codec_path("crate::codec::ServerCodec")
        .out_dir(&servers)
        .compile_fds(with_comments)?;
    // Decoding verifies that the output is readable.
    prost_types::FileDescriptorSet::decode(std::fs::read(out.join("descriptor.bin"))?.as_slice())?;
    Ok(())
}
