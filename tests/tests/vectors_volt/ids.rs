//! Ids that differ from run to run: those of the recording and ours.

use std::collections::BTreeMap;

/// Recorded UUIDs and ours.
#[derive(Debug, Default)]
pub(crate) struct Ids(BTreeMap<String, String>);

impl Ids {
    /// Tells whether two texts are equal but for UUIDs that stand for each other throughout.
    pub(crate) fn are_equal(&mut self, recorded: &str, ours: &str) -> bool {
        let (theirs, shape) = uuids(recorded);
        let (mine, our_shape) = uuids(ours);
        shape == our_shape
            && theirs.into_iter().zip(mine).all(|(recorded, ours)| {
                let is_version_4 = ours.as_bytes().get(14) == Some(&b'4');
                is_version_4 && *self.0.entry(recorded).or_insert_with(|| ours.clone()) == ours
            })
    }

    /// Puts our ids into a recorded text.
    pub(crate) fn translated(&self, recorded: &str) -> String {
        let (found, _) = uuids(recorded);
        found.iter().fold(recorded.to_owned(), |text, id| match self.0.get(id) {
            Some(ours) => text.replace(id, ours),
            None => text,
        })
    }
}

/// Returns the UUIDs of a text, and the text without them.
fn uuids(text: &str) -> (Vec<String>, String) {
    let (mut found, mut shape, mut rest) = (Vec::new(), String::new(), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..36).filter(|part| is_uuid(part)) {
            Some(id) => {
                found.push(id.to_owned());
                shape.push_str("<uuid>");
                rest = rest.get(36..).unwrap_or_default();
            }
            None => {
                shape.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    (found, shape)
}

fn is_uuid(part: &str) -> bool {
    part.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    })
}

#[test]
fn ids_stand_for_each_other_throughout() {
    let (a, b) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let mut ids = Ids::default();
    assert!(ids.are_equal(&format!("x{a}é"), &format!("x{b}é")));
    assert!(!ids.are_equal(a, a), "it stands for another one already");
    assert!(!ids.are_equal("x", "y"));
    assert_eq!(ids.translated(&format!("<{a}>")), format!("<{b}>"));
}
