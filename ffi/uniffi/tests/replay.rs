//! The golden log, fed through both ways into the client, must come out as it was recorded.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use epode::record::{Entry, Log};
    use epode_uniffi::{Bosh, Client, Config, Credentials, Input, LinkInfo, Output, Verified};

    fn log() -> Log {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts/bosh-external.jsonl");
        Log::read(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// What of the header's configuration differs from the defaults.
    fn client(log: &Log) -> Client {
        let header: serde_json::Value = serde_json::from_str(&log.header.to_line()).unwrap();
        let config = &header["config"];
        let bosh = &config["transport"]["bosh"];
        let bosh = Bosh {
            first_rid: bosh["first_rid"].as_u64(),
            ack: bosh["ack"].as_bool().unwrap(),
            ..Bosh::new(bosh["url"].as_str().unwrap())
        };
        let identity = config["credentials"]["certificate"]["identity"]
            .as_str()
            .unwrap()
            .to_owned();
        let credentials = Credentials::Certificate { identity, der: None };
        let config = Config::new(config["jid"].as_str().unwrap(), credentials, bosh);
        Client::new(config, &log.header.seed().unwrap()).unwrap()
    }

    /// The inputs that this log has.
    fn input(input: &epode::Input<'_>) -> Input {
        if let epode::Input::Connected { link, info } = input {
            let epode::Verified::Host { name } = &info.verified else {
                panic!("not in this log: {info:?}")
            };
            let info = LinkInfo {
                encrypted: info.encrypted,
                verified: Verified::Host { name: name.clone() },
                tls_version: info.tls_version.clone(),
                client_certificate_requested: info.client_certificate_requested,
                client_certificate: info.client_certificate.clone(),
            };
            return Input::Connected { link: link.0, info };
        }
        if let epode::Input::Responded {
            link,
            request,
            status,
            body,
            tls: None,
        } = input
        {
            return Input::Responded {
                link: link.0,
                request: request.0,
                status: *status,
                body: body.to_vec(),
                tls: None,
            };
        }
        match input.name() {
            "Start" => Input::Start,
            "Stop" => Input::Stop,
            _ => panic!("not in this log: {input:?}"),
        }
    }

    fn play(log: &Log, borrowing: bool) -> Vec<Output> {
        let client = client(log);
        let mut outputs = Vec::new();
        for entry in &log.entries {
            let Entry::In { now, r#in } = entry else { continue };
            let now = now.as_millis();
            let input = input(r#in);
            let step = if let (
                Input::Responded {
                    link,
                    request,
                    status,
                    body,
                    tls,
                },
                true,
            ) = (&input, borrowing)
            {
                client.responded(now, *link, *request, *status, body, tls.clone())
            } else {
                client.handle(now, input)
            };
            outputs.extend(step.unwrap().outputs);
        }
        outputs
    }

    #[test]
    fn both_ways_in_give_what_the_log_says() {
        let log = log();
        let recorded: Vec<_> = log
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::In { .. } => None,
                Entry::Out { out } => Some(Output::from_core(out.clone()).unwrap()),
            })
            .collect();
        assert!(
            recorded
                .iter()
                .filter(|output| matches!(output, Output::Post { .. }))
                .count()
                > 4
        );
        assert_eq!(play(&log, false), recorded);
        assert_eq!(play(&log, true), recorded);
    }
}
