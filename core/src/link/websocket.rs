use super::*;
use crate::input::*;
use crate::output::*;
use crate::xml::*;

#[derive(Debug)]
pub(crate) struct WebSocket {}
impl WebSocket {
    pub(crate) fn new(_: super::tcp::Parameters) -> Self {
        Self {}
    }
    pub(crate) fn id(&self) -> LinkId {
        LinkId(0)
    }
    pub(crate) fn expects_connected(&self) -> bool {
        true
    }
    pub(crate) fn awaits_starttls(&self) -> bool {
        true
    }
    pub(crate) fn connected(&mut self, _cx: &mut Context<'_>, _from: Option<&str>) {}
    pub(crate) fn received(&mut self, _cx: &mut Context<'_>, _bytes: &[u8]) -> usize {
        0
    }
    pub(crate) fn send(&mut self, _xml: &str, _token: Option<Token>) {}
    pub(crate) fn ask_for_tls(&mut self) {}
    pub(crate) fn start_tls(&mut self, _cx: &mut Context<'_>, _rest_is_empty: bool, _server_name: &str) {}
    pub(crate) fn restart(&mut self, _cx: &mut Context<'_>, _from: Option<&str>) {}
    pub(crate) fn flush(&mut self, _cx: &mut Context<'_>) {}
    pub(crate) fn forget_unsent(&mut self) {}
    pub(crate) fn leave(&mut self, _cx: &mut Context<'_>) {}
    pub(crate) fn shut(&mut self, _cx: &mut Context<'_>, _tell: bool, _error: Option<super::tcp::StreamErrorOut>) {}
    pub(crate) fn ended(&mut self, _cx: &mut Context<'_>) {}
    pub(crate) fn written(&mut self, _cx: &mut Context<'_>, _bytes: u64) {}
    pub(crate) fn white_space(&mut self) {}
    pub(crate) fn pending_bytes(&self) -> usize {
        0
    }
    pub(crate) fn set_limits(&mut self, _: XmlLimits) {}
    pub(crate) fn round_trips(&self) -> u32 {
        0
    }
}
