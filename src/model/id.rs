//! Names that are derived from content, so that the same input gives the same name.

/// Collects the parts of a name and digests them.
///
/// Parts are length-prefixed: `("ab", "c")` and `("a", "bc")` differ. The digest is BLAKE3, cut to
/// 16 hexadecimal digits: enough to tell the events of one host apart, not a security boundary.
#[derive(Default)]
pub struct IdBuilder(blake3::Hasher);

impl IdBuilder {
    /// Starts a name of the given kind (`f` for findings, `a` for alerts …).
    pub fn new(kind: &str) -> Self {
        Self::default().part(kind.as_bytes())
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.part(&number.to_le_bytes())
    }

    /// Returns the digest as a number, for jitter that must not differ between two readings of one log.
    pub fn as_number(&self) -> u64 {
        let digest = self.0.finalize();
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("8 of 32 bytes"))
    }

    /// Returns `prefix` and 16 hexadecimal digits.
    pub fn finish(&self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.as_number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let name = |parts: &[&str]| {
            parts.iter().fold(IdBuilder::new("f"), |id, part| id.part(part.as_bytes())).finish("f-")
        };
        assert_eq!(name(&["ab", "c"]), name(&["ab", "c"]));
        assert_ne!(name(&["ab", "c"]), name(&["a", "bc"]));
    }
}
