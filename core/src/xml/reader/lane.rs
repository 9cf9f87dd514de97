//! Reads plain elements into the same tables as the tokenizer's, by the same rules and limits.

use super::super::XmlError;
use super::super::plain::{self, Sink};
use super::{Reader, SLICE_BYTES, XmlEvent, nc_name};

impl Reader {
    /// Reads a whole top-level element in the fast lane, or leaves no trace. The tokenizer never hears of such an element: between two of
    /// them it has nothing in store and its state is the same, namely within the root, or in front of it if there is only one element.
    pub(super) fn plain(&mut self, bytes: &[u8]) -> Result<Option<(usize, XmlEvent)>, XmlError> {
        let allowed = self.limits.element_bytes.min(SLICE_BYTES).min(bytes.len());
        let bytes = bytes.get(..allowed).unwrap_or_default();
        if let Some(consumed) = plain::read(bytes, self.token_bytes, self) {
            #[cfg(test)]
            super::tests::count_plain();
            self.element_bytes = consumed;
            return Ok(self.end()?.map(|event| (consumed, event)));
        }
        if let Some(outermost) = self.open.first() {
            self.scope.leave(outermost.mark);
            self.open.clear();
            self.arena.clear();
            self.prefix = None;
            self.text_is_last = false;
        }
        Ok(None)
    }
}

impl Sink for Reader {
    fn open(&mut self, prefix: Option<&str>, name: &str) -> Result<(), XmlError> {
        let prefix = prefix.map(nc_name).transpose()?;
        self.start(prefix, name)
    }

    fn attribute(&mut self, prefix: Option<&str>, name: &str, value: &str) -> Result<(), XmlError> {
        Self::attribute(self, prefix, name, value)
    }

    fn opened(&mut self) -> Result<(), XmlError> {
        self.end_of_start_tag().map(|_| ())
    }

    fn closed(&mut self) -> Result<(), XmlError> {
        self.end().map(|_| ())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        Self::text(self, text)
    }
}
