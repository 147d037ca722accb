//! Generates the bindings of a language, see the README.
#![forbid(unsafe_code)]

fn main() {
    uniffi::uniffi_bindgen_main();
}
