//! What each event promises.

use epode::config::ReconnectWhen;
use epode::{Event, SaslProfile, ServerProof, Stage, TransportKind};

use super::{ACCOUNT, Host, Login, Way};

impl Host {
    pub(super) fn event(&mut self, event: Event) {
        let foreign = self.choices.foreign;
        let Some(life) = &mut self.life else { return };
        match event {
            Event::Online {
                jid,
                mechanism,
                server_proof,
                channel_binding,
                profile,
                resumed,
                ..
            } => {
                assert!(!life.online, "online twice");
                life.online = true;
                let Some(link) = &life.link else {
                    panic!("online without a link");
                };
                assert!(jid.resource().is_some() || foreign, "a full JID");
                let login = self.choices.login;
                let other = login == Login::Anonymous || self.provided;
                assert!(foreign || other || jid.bare().to_string() == ACCOUNT, "another account");
                assert!(profile != Some(SaslProfile::Sasl2) || link.encrypted, "XEP-0388 §6");
                let bound = mechanism.ends_with("-PLUS") || mechanism.ends_with("-EXPR");
                assert_eq!(channel_binding.is_some(), bound, "{mechanism}");
                let proved = self.server.login.proved && server_proof == ServerProof::Verified;
                let fits = |kinds: &[Login]| self.provided || kinds.contains(&login);
                match mechanism.as_str() {
                    "EXTERNAL" => assert!(fits(&[Login::Certificate]) && link.verified),
                    "PLAIN" => assert!(self.choices.allow_plain && link.verified),
                    "OAUTHBEARER" | "X-OAUTH2" => assert!(fits(&[Login::AccessToken]) && link.verified),
                    "ANONYMOUS" => assert!(fits(&[Login::Anonymous])),
                    scram if scram.starts_with("SCRAM-") => {
                        assert!(self.provided || login.has_password());
                        assert!(proved, "nobody proved to know the password");
                    }
                    token if token.starts_with("HT-") => {
                        let absent = self.choices.missing_proof && server_proof == ServerProof::Absent;
                        assert!(proved || absent, "nobody proved to know the token");
                    }
                    // A session of BOSH that was restored needs no login.
                    "" => assert!(resumed && link.kind() == TransportKind::Bosh && self.restores > 0),
                    other => panic!("logged in by {other}"),
                }
            }
            Event::Interrupted { retry_at, .. } => {
                life.online = false;
                assert!(life.link.is_none(), "the link is left open");
                assert!(
                    retry_at.is_none_or(|at| at.as_millis() >= self.now),
                    "a retry in the past"
                );
                assert_ne!(self.choices.reconnect, ReconnectWhen::Never);
            }
            Event::Offline { .. } => {
                assert!(life.link.is_none(), "the link is left open");
                let unsettled: Vec<_> = life.sends.iter().filter(|(_, sent)| sent.owed).collect();
                assert!(unsettled.is_empty(), "no last word on {unsettled:?}");
                assert!(life.requests.is_empty(), "no result for {:?}", life.requests);
                assert_eq!(self.client.next(), None, "Offline is last");
                assert_eq!(self.client.jid(), None);
                self.life = None;
            }
            Event::Stanza { stanza, token } => {
                assert!(life.online, "a stanza before the login is over");
                assert!(matches!(stanza.name(), "message" | "presence"));
                assert_eq!(token.is_some(), self.choices.manual);
                self.received.extend(token);
            }
            Event::Request { token, .. } => {
                assert!(life.online, "a request before the login is over");
                self.asked.push(token);
            }
            Event::IqDone { token, .. } => {
                assert!(life.requests.remove(&token), "{token} has no request, or two results")
            }
            Event::Delivery { token, stage } => {
                // `Queued` comes within `handle`, before the host knows the token.
                let sent = match life.sends.get_mut(&token) {
                    Some(sent) => sent,
                    None if foreign => return,
                    None => panic!("{token} was never sent"),
                };
                // A stream may end before the host could say that a stanza was written; BOSH reports both itself.
                let bosh = self.choices.way == Way::Bosh;
                let fits = match stage {
                    Stage::Queued => sent.stage == Stage::Queued && !sent.promised,
                    // Once on each link: what is sent again after a resumption is written again.
                    Stage::Sent if bosh => sent.stage == Stage::Queued,
                    Stage::Acked if bosh => sent.stage == Stage::Sent,
                    Stage::Sent => sent.stage < Stage::Acked && sent.written_on < self.links,
                    Stage::Acked | Stage::Failed => sent.stage < Stage::Acked,
                };
                assert!(fits || sent.again, "{token}: {stage:?} after {sent:?}");
                sent.promised = true;
                sent.stage = stage;
                if stage == Stage::Sent {
                    sent.written_on = self.links;
                }
                sent.owed &= stage < Stage::Acked;
            }
            Event::Task { .. } => {
                assert!(self.choices.tasks && !life.online, "nobody can do it");
                self.task = true;
            }
            Event::Writable | Event::Warning(_) => {}
            other => panic!("an event of something that is not there: {other:?}"),
        }
    }
}
