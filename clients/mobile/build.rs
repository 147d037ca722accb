//! Generates the scaffolding of the interface.

fn main() {
    if let Err(error) = uniffi::generate_scaffolding("src/parlance.udl") {
        panic!("src/parlance.udl: {error}");
    }
}
