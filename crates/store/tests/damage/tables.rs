use crate::sample::Sample;

#[test]
fn zz_fuzz() {
    let sample = Sample::in_tables();
    sample.check_whole();
    let stride: usize = std::env::var("STRIDE").map_or(97, |s| s.parse().unwrap());
    let mut panics = 0;
    for (path, content) in &sample.files {
        if path.to_str().unwrap().ends_with(".jnl") || !path.starts_with("engine") {
            continue;
        }
        let mut res = std::collections::BTreeMap::<String, u32>::new();
        for at in (0..content.len()).step_by(stride) {
            sample.change(|files| files.get_mut(path).unwrap()[at] ^= 1 << (at % 8));
            let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                sample.check_honest();
            }));
            if let Err(e) = r {
                panics += 1;
                let m = e
                    .downcast_ref::<String>()
                    .cloned()
                    .or(e.downcast_ref::<&str>().map(|s| s.to_string()))
                    .unwrap_or_default();
                *res.entry(m.chars().take(400).collect()).or_default() += 1;
                eprintln!("BAD {path:?} at {at}");
            } else {
                *res.entry("fine".into()).or_default() += 1;
            }
        }
        eprintln!("FILE {path:?} {} {res:#?}", content.len());
    }
    eprintln!("PANICS {panics}");
}
