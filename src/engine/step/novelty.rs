//! Which lines were seen before: two Bloom filters that take turns, so that what is long past is forgotten.

/// How many bits each has.
const BITS: usize = 16 << 10;

/// After how many lines they take turns.
const TURN: u32 = 1500;

/// Which lines were seen lately. Takes 4 KiB; may take a new line for a known one now and then, never the reverse among
/// the last [`TURN`] lines.
#[derive(Clone, Debug, Default)]
pub struct Novelty {
    /// The one that lines go into, and the one before it; made with the first line.
    filters: Option<Box<[[u64; BITS / 64]; 2]>>,
    count: u32,
}

impl Novelty {
    /// Takes a line's hash; returns whether it is new.
    pub fn is_new(&mut self, line: u64) -> bool {
        let filters = self.filters.get_or_insert_with(|| Box::new([[0; BITS / 64]; 2]));
        let places = [line as usize % BITS, (line >> 20) as usize % BITS, (line >> 40) as usize % BITS];
        let has = |filter: &[u64; BITS / 64]| {
            places.iter().all(|place| filter[place / 64] >> (place % 64) & 1 == 1)
        };
        let is_in_first = has(&filters[0]);
        let new = !is_in_first && !has(&filters[1]);
        if !is_in_first {
            for place in places {
                filters[0][place / 64] |= 1 << (place % 64);
            }
        }
        self.count += u32::from(new);
        if self.count == TURN {
            self.count = 0;
            filters.swap(0, 1);
            filters[0] = [0; BITS / 64];
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::mask::mix;
    use super::*;

    #[test]
    fn a_line_is_new_once_and_forgotten_in_time() {
        let mut novelty = Novelty::default();
        let fresh = (0..1000).filter(|line| novelty.is_new(mix(*line, 7))).count();
        assert!(fresh > 980, "{fresh}");
        assert!((0..1000).all(|line| !novelty.is_new(mix(line, 7))));
        let _ = (0..4 * u64::from(TURN)).filter(|line| novelty.is_new(mix(*line, 8))).count();
        assert!((0..1000).filter(|line| novelty.is_new(mix(*line, 7))).count() > 900);
    }
}
