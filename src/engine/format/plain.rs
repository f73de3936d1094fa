//! (to be written)
use super::{Decode, Decoded, Format, Frame};
use crate::model::Record;

/// The format.
pub(super) static FORMAT: Plain = Plain;

/// The format.
pub(super) struct Plain;

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
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
