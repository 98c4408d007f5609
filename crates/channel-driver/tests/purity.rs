//! The driver brings no runtime along, whatever of it is used.

use std::process::Command;

/// Runtimes, and what belongs to one.
const RUNTIMES: [&str; 8] =
    ["async-io", "async-process", "async-std", "hyper", "hyper-util", "mio", "smol", "tokio"];

#[test]
fn no_runtime_below() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--offline", "--features", "kubeconfig", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo can be run");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout);
    let below: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(below.contains(&"kube-client"), "this is not the tree: {tree}");
    for name in RUNTIMES {
        assert!(!below.contains(&name), "{name} is below the driver");
    }
}
