//! On what a measurement was taken.

use std::{env, fs, process::Command, thread};

/// One line that names the processor, the system and the compiler.
pub fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout);
    let rustc = String::from_utf8(rustc.unwrap_or_default()).unwrap_or_default();
    let tunables = env::var("GLIBC_TUNABLES").unwrap_or_else(|_| "not set".into());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{}, {cores} cores, Linux {}, {}, GLIBC_TUNABLES {tunables}; load average at the start {}",
        model.unwrap_or("an unknown processor"),
        kernel.trim(),
        rustc.trim(),
        load.split(' ').next().unwrap_or("unknown")
    )
}
