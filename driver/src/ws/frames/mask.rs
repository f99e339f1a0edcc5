//! Masks of WebSocket frames (RFC 6455, section 5.3): what a client sends is masked by a key that
//! nobody can foretell, what a server sends is not.

/// What payload bytes are combined with, in turn.
pub(crate) type Key = [u8; 4];

/// Masks bytes, or takes the mask off.
pub(crate) fn mask(bytes: &mut [u8], key: Key) {
    if key == [0; 4] {
        return;
    }
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d].into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Returns the key for what follows `count` bytes.
pub(crate) const fn after(mut key: Key, count: usize) -> Key {
    key.rotate_left(count % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_combined_with_the_key_in_turn_whatever_their_number() {
        let key = [1, 20, 65, 254];
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).collect();
            let wanted: Vec<u8> =
                bytes.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
            let mut masked = bytes.clone();
            mask(&mut masked, key);
            assert_eq!(masked, wanted);
            for cut in 0..bytes.len() {
                let mut masked = bytes.clone();
                let (head, tail) = masked.split_at_mut(cut);
                mask(head, key);
                mask(tail, after(key, cut));
                assert_eq!(masked, wanted);
            }
        }
    }
}
