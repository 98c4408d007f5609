//! For tests: is the table in a module's documentation the one in its code?

use std::fmt::Debug;

/// Reads the first Markdown table in the `//!` lines of `source` (states down, inputs across) and compares every cell with `after`.
pub(crate) fn assert_table_matches<S: Copy + Debug, I: Copy + Debug>(
    source: &str,
    states: &[S],
    inputs: &[I],
    after: impl Fn(S, I) -> S,
) {
    let rows: Vec<Vec<&str>> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .filter(|line| line.trim_start().starts_with('|') && !line.contains("--"))
        .map(|line| {
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .collect();
    let (head, body) = rows.split_first().expect("a table in the documentation");
    let expected_head: Vec<String> = inputs.iter().map(|input| format!("{input:?}")).collect();
    assert_eq!(head[1..], expected_head, "the inputs");
    assert_eq!(body.len(), states.len(), "the states");
    for (row, state) in body.iter().zip(states) {
        assert_eq!(row[0], format!("{state:?}"));
        for (cell, input) in row[1..].iter().zip(inputs) {
            assert_eq!(*cell, format!("{:?}", after(*state, *input)), "{state:?} on {input:?}");
        }
    }
}
