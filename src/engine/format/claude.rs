//! (to be written)
use super::{Decode, Decoded, Format, Frame};
use crate::model::Record;

/// The format.
pub(super) static FORMAT: Claude = Claude;

/// The format.
pub(super) struct Claude;

impl Format for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn recognise(&self, _frame: Frame<'_>) -> bool {
        false
    }

    fn decoder(&self) -> Box<dyn Decode + Send> {
        Box::new(Decoder)
    }
}

struct Decoder;

impl Decode for Decoder {
    fn json(&mut self, _frame: Frame<'_>, _out: &mut dyn FnMut(Record<'_>)) -> Decoded {
        Decoded::No
    }
}
