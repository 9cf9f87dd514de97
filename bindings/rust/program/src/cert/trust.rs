//! How Prosody, ejabberd and Openfire come to trust a client certificate, in their own configuration languages.

use std::path::Path;

use crate::terminal::visible;

/// What to write where, so that a server for `domain` accepts certificates that `trusted` (signed or is).
#[must_use]
pub fn instructions(domain: &str, trusted: &Path, self_signed: bool) -> String {
    let file = trusted
        .file_name()
        .map_or_else(|| "ca.crt".into(), |name| visible(&name.to_string_lossy()));
    let domain = visible(domain);
    let what = if self_signed {
        "It signs itself, so a server must be given the certificate itself. For several users, put\n\
         their certificates one after the other into one file, or use an authority (epode cert ca)."
    } else {
        "A server must be given the authority's certificate, once for all its users; never its key."
    };
    format!(
        "\
How a server comes to trust it
{what}
Below, {file} stands for wherever you put it on the server.

Prosody (BOSH, WebSocket and TCP; with mod_auth_ccert from prosody-modules), in prosody.cfg.lua:

  -- BOSH and WebSocket; for TCP give c2s_ssl and c2s_direct_tls_ssl the same three lines
  https_ssl = {{
      verify = {{ \"peer\", \"client_once\" }};   -- without it no client is asked for a certificate
      cafile = \"/etc/prosody/certs/{file}\";
      -- Prosody 0.12 would else judge the client as if it were a server, and refuse it:
      verifyext = {{ \"lsec_continue\", lsec_ignore_purpose = false }};
  }}
  VirtualHost \"{domain}\"
      authentication = \"ccert\"
      certificate_match = \"xmppaddr\"

  It does not look whether the account exists: whoever is named in a trusted certificate may log in.

ejabberd (TCP only: it never asks for a certificate over BOSH or WebSocket), in ejabberd.yml:

  listen:
    - port: 5222
      module: ejabberd_c2s
      starttls_required: true
      tls_verify: true
      cafile: /etc/ejabberd/{file}

Openfire (BOSH and TCP, not WebSocket):

  keytool -importcert -alias {alias} -file {file} -keystore OPENFIRE/resources/security/client.truststore
  then in the admin console, Server > System Properties:
    httpbind.client.cert.policy = wanted      (BOSH)
    xmpp.client.cert.policy     = wanted      (TCP)
  and keep EXTERNAL in sasl.mechs, where it is by default; restart it.",
        alias = if self_signed { "epode-client" } else { "epode-ca" },
    )
}
