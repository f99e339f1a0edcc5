//! What holds of the decoder whatever comes: the way in which bytes are cut changes nothing, and what
//! is held is bounded by what came. Shared by a property test and a fuzz target.

use super::frames::decoder::{Decoder, Fault, Item};
use super::frames::head::{Accepts, MAX_CONTROL, MAX_HEAD};

/// Reads a stream at once and in parts. The first four bytes of `data` say how.
pub(crate) fn run(data: &[u8]) {
    let Some((&[how, max_message, max_fragments, cut], stream)) = data.split_first_chunk() else {
        return;
    };
    let accepts = Accepts { masked: how & 1 != 0, compressed: how & 2 != 0 };
    let max_message = usize::from(max_message) * 32;
    let decoder = || Decoder::new(accepts, max_message, usize::from(max_fragments));
    let whole = read(decoder(), stream, max_message, std::iter::repeat(usize::MAX));
    let single = read(decoder(), stream, max_message, std::iter::repeat(1));
    assert_eq!(whole, single);
    let mut length = usize::from(cut);
    let parts = std::iter::repeat_with(|| {
        length = (length * 31 + 7) % 97;
        length + 1
    });
    assert_eq!(whole, read(decoder(), stream, max_message, parts));
}

/// Reads a stream in parts, up to what ends it.
fn read(
    mut decoder: Decoder,
    stream: &[u8],
    max_message: usize,
    lengths: impl Iterator<Item = usize>,
) -> (Vec<Item>, Option<Fault>) {
    let (mut items, mut rest, mut came) = (Vec::new(), Vec::new(), 0);
    let mut left = stream;
    for length in lengths {
        if left.is_empty() {
            break;
        }
        let (part, behind) = left.split_at(length.min(left.len()));
        left = behind;
        came += part.len();
        rest.extend_from_slice(part);
        loop {
            let (used, item) = decoder.decode(&mut rest);
            rest.drain(..used);
            match item {
                Ok(None) => break,
                Ok(Some(item)) => {
                    let is_last = matches!(item, Item::Close(_) | Item::Excess(_));
                    items.push(item);
                    if is_last {
                        return (items, None);
                    }
                }
                Err(fault) => return (items, Some(fault)),
            }
        }
        assert!(rest.len() <= MAX_HEAD + MAX_CONTROL, "{} bytes are not used", rest.len());
        // Some room is made for what is announced, and no more than is allowed.
        let bound = (2 * came + 4 * 1_024).min(2 * max_message + 4 * 1_024);
        assert!(decoder.held() <= bound, "{} bytes are held for {came}", decoder.held());
    }
    (items, None)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::frames::head::{Head, Opcode};
    use super::super::frames::mask::mask;
    use super::*;

    /// A frame that is right by itself.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let opcode = prop_oneof![
            Just(Opcode::Continuation),
            Just(Opcode::Text),
            Just(Opcode::Binary),
            Just(Opcode::Ping),
            Just(Opcode::Pong),
            Just(Opcode::Close),
        ];
        let payload = prop_oneof![
            vec(any::<u8>(), 0..300),
            "\\PC{0,200}".prop_map(String::into_bytes),
            Just(vec![0x03, 0xe8]),
        ];
        (opcode, any::<bool>(), any::<bool>(), any::<[u8; 4]>(), payload).prop_map(
            |(opcode, is_final, is_compressed, key, mut payload)| {
                let mut bytes = Vec::new();
                Head::write(opcode, is_compressed, Some(key), payload.len(), &mut bytes);
                if !is_final {
                    bytes[0] &= 0x7f;
                }
                mask(&mut payload, key);
                [bytes, payload].concat()
            },
        )
    }

    proptest! {
        #[test]
        fn frames_cut_anywhere_are_the_same(
            how in any::<[u8; 4]>(),
            frames in vec(frame(), 0..12),
            tail in vec(any::<u8>(), 0..20),
        ) {
            let [first, rest @ ..] = how;
            let how = [&[first | 1][..], &rest].concat();
            run(&[how, frames.concat(), tail].concat());
        }

        #[test]
        fn bytes_cut_anywhere_are_the_same(data in vec(any::<u8>(), 0..2_000)) {
            run(&data);
        }
    }
}
