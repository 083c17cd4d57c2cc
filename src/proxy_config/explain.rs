//! The explanation of each block of a generated configuration. A block begins with a line `# ---- NAME`.

/// The start of the line before a block.
const BLOCK_MARKER: &str = "# ---- ";

/// The explanation of a block.
struct BlockExplanation {
    name: &'static str,
    text: &'static str,
    /// The numbers of the pitfalls in ARCHITECTURE.md.
    pitfalls: &'static str,
}

const fn block(name: &'static str, text: &'static str, pitfalls: &'static str) -> BlockExplanation {
    BlockExplanation { name, text, pitfalls }
}

/// All blocks, in the order of a file.
const BLOCKS: &[BlockExplanation] = &[
    block(
        "upstreams",
        "Connections are kept, so no auth check opens one. A name that moves is found again.",
        "p9, p43",
    ),
    block(
        "client-request",
        "Values of the client's request that are safe to pass on: scheme, host, credentials, URI.",
        "p8, p14",
    ),
    block(
        "paths",
        "Refused before the auth check: paths that two programs could read differently, and bodies with methods that have none.",
        "p19, p47",
    ),
    block("proxy-secret", "doorward gives upstream credentials only to a peer with this secret.", "p28"),
    block(
        "own-locations",
        "A location of your own gets no upstream credentials and no rewritten URI unless it sets these variables.",
        "p18, p27",
    ),
    block(
        "registry",
        "A registry reads a mount from a form, which doorward never sees. No form reaches the registry.",
        "p15",
    ),
    block(
        "websocket",
        "Only WebSocket is upgraded. Another protocol would open a tunnel without auth checks.",
        "p7",
    ),
    block("cors", "Web pages of the listed origins can use the service, and no others.", ""),
    block("messages", "Texts of the error pages. No character of a request can end a JSON string.", "p11"),
    block("log", "The access log holds the authenticated user and the reason, and no password.", "p27"),
    block(
        "token",
        "Clients get tokens with their password. The rate of each client is limited, and no token is stored.",
        "p25, p27",
    ),
    block(
        "ecr",
        "Addresses in responses of the remote registry lead back to this server, and redirects only to the storage.",
        "p38, p39, p40",
    ),
    block(
        "unknown-names",
        "A request for a name that is not listed gets no handshake, or 421. doorward never checks such a name.",
        "p44",
    ),
    block(
        "redirect",
        "Browsers that use http are sent to https. No registry has it, since its clients would send the password first.",
        "p27",
    ),
    block("server", "The protected server.", ""),
    block(
        "tls",
        "Current protocols and ciphers. Sessions are resumed without tickets, whose key never changes in old versions.",
        "",
    ),
    block("defaults", "Defaults of nginx on which the protection relies, set explicitly.", "p1, p46"),
    block("real-ip", "The client's address comes from the load balancers only.", "p24"),
    block(
        "auth-subrequest",
        "The auth check: internal, without body, with headers that only nginx sets, never cached.",
        "p1, p2, p3, p5, p6, p8, p9, p10, p50",
    ),
    block("protect", "Every location runs the auth check, also one that is added later.", "p4, p7, p28"),
    block(
        "headers",
        "The upstream gets the identity from doorward only, and never the client's password.",
        "p14, p27, p46",
    ),
    block("blobs", "Layers have any size and are not written to disk. A push can take minutes.", "p47"),
    block("transfer", "Requests to a site are buffered, so that a slow client does not occupy it.", "p47"),
    block(
        "upstream",
        "The protected location. It contains nothing that runs before the auth check.",
        "p7, p18",
    ),
    block(
        "upstream-refused",
        "If the remote registry refuses doorward's credentials, the client gets a 503, and doorward fetches new ones.",
        "p37, p42",
    ),
    block(
        "follow-redirects",
        "nginx fetches layers from the listed storage over verified TLS, without credentials.",
        "p40, p41",
    ),
    block("public-path", "This path needs no login. Only a path with one reading gets there.", "p19"),
    block(
        "preflight",
        "nginx answers the request that a browser sends before that of a web page, and passes nothing on.",
        "p21",
    ),
    block(
        "error-pages",
        "Refusals in the format that clients of this service show, with the right status.",
        "p4, p11, p12, p13, p49",
    ),
    block("other-paths", "A registry has one path. Other paths get a fixed answer.", "p11"),
    block("include", "Your own locations, which inherit the auth check.", "p7, p46"),
];

/// Returns a line for each block of a configuration: its name, what it protects against, and the pitfalls.
pub(crate) fn explain_blocks(configuration: &str) -> String {
    let is_present = |block: &&BlockExplanation| {
        configuration.lines().any(|line| line.trim_start().strip_prefix(BLOCK_MARKER) == Some(block.name))
    };
    let line = |block: &BlockExplanation| match block.pitfalls {
        "" => format!("{:18}{}\n", block.name, block.text),
        pitfalls => format!("{:18}{} ({pitfalls})\n", block.name, block.text),
    };
    BLOCKS.iter().filter(is_present).map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_block_of_the_templates_is_explained_and_the_other_way_round() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/nginx/templates");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            found.extend(
                text.lines().filter_map(|line| Some(line.trim().strip_prefix(BLOCK_MARKER)?.to_owned())),
            );
        }
        let explained: BTreeSet<String> = BLOCKS.iter().map(|block| block.name.to_owned()).collect();
        assert_eq!(found, explained);
    }
}
