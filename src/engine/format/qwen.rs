//! (to be written)
use super::{Decode, Decoded, Format, Frame};
use crate::model::Record;

/// The format.
pub(super) static FORMAT: Qwen = Qwen;

/// The format.
pub(super) struct Qwen;

impl Format for Qwen {
    fn name(&self) -> &'static str {
        "qwen"
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
