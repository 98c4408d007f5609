//! An embedded pod: serves Kubernetes' exec, attach and port-forward by processes and ports of this machine.

// Nothing calls these yet: the server that wires them comes with its own file.
#![cfg_attr(not(test), allow(dead_code, unused_imports))]

mod process;
mod rest;
