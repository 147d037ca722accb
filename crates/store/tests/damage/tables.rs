use crate::sample::Sample;

#[test]
fn zz_make() {
    let sample = Sample::in_tables();
    let out = std::path::PathBuf::from(std::env::var("OUT").unwrap());
    crate::files::write(&out, &sample.files);
}
