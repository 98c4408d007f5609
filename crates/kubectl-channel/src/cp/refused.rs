//! What was left out of a copy, and why.

/// Of all that was left out, this many are told: the pod says how many there are.
const TOLD: usize = 100;

/// And this many characters of each: the pod chose the names.
const LENGTH: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) told: Vec<String>,
    pub(super) count: u64,
}

impl Refused {
    pub(super) fn add(&mut self, what: &str, why: &str) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("{} was not copied: {}", short(what), short(why)));
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
