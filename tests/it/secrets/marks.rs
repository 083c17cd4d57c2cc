//! Secrets that can be recognised, and the search for them.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// Every secret begins with it, and nothing else has it.
const MARK: &str = "SECRETxyz";

/// A secret with the mark, and characters that every way of writing treats in its own way.
pub(super) fn secret(what: &str) -> String {
    format!("{MARK}-{what}+/%&=\"'<?>;{MARK}")
}

/// The mark as it might be written: what the form is called, and the bytes in lower case.
fn forms() -> Vec<(String, Vec<u8>)> {
    let mut forms: Vec<(String, Vec<u8>)> = vec![("as it is".to_owned(), MARK.into())];
    let each = |write: &dyn Fn(u8) -> String| MARK.bytes().map(write).collect::<Vec<_>>();
    forms.push(("percent-encoded".into(), each(&|byte| format!("%{byte:02x}")).concat().into()));
    forms.push(("in hexadecimal".into(), each(&|byte| format!("{byte:02x}")).concat().into()));
    forms.push(("as a list of bytes".into(), each(&|byte| byte.to_string()).join(", ").into()));
    forms.push(("as escapes of JSON".into(), each(&|byte| format!("\\u{byte:04x}")).concat().into()));
    // Three bytes make four letters, so it looks different behind each length of what is before; the
    // letters at both ends belong to its neighbours too.
    for (name, engine) in [("base64", BASE64_STANDARD_NO_PAD), ("base64 for URLs", BASE64_URL_SAFE_NO_PAD)] {
        for before in 0..3 {
            let whole = engine.encode([&vec![b'x'; before], MARK.as_bytes(), b"xxx"].concat());
            let (start, end) = ((before * 8).div_ceil(6), (before + MARK.len()) * 8 / 6);
            forms.push((format!("in {name}, {before} behind"), whole[start..end].into()));
        }
    }
    forms.iter_mut().for_each(|(_, bytes)| bytes.make_ascii_lowercase());
    forms
}

/// The lines of `text` that hold the mark, with the form in which they do.
fn find(text: &[u8]) -> Vec<String> {
    let forms = forms();
    let mut found = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let low = line.to_ascii_lowercase();
        let holds = |form: &[u8]| low.windows(form.len()).any(|window| window == form);
        if let Some((name, _)) = forms.iter().find(|(_, form)| holds(form)) {
            found.push(format!("{name}: {}", String::from_utf8_lossy(line)));
        }
    }
    found
}

/// All that was said.
#[derive(Default)]
pub(super) struct Heap(Vec<(String, Vec<u8>)>);

impl Heap {
    pub(super) fn keep(&mut self, what: &str, said: impl AsRef<[u8]>) {
        self.0.push((what.to_owned(), said.as_ref().to_vec()));
    }

    /// Fails with every place where the mark is.
    pub(super) fn assert_clean(&self, title: &str) {
        let size: usize = self.0.iter().map(|(_, said)| said.len()).sum();
        assert!(self.0.len() > 10 && size > 1000, "only {size} bytes were searched");
        let found: Vec<String> = self
            .0
            .iter()
            .flat_map(|(what, said)| find(said).into_iter().map(move |at| format!("{what}, {at}")))
            .collect();
        let some = found[..found.len().min(20)].join("\n");
        assert!(found.is_empty(), "{title}: secrets were told {} times:\n{some}", found.len());
    }
}

#[test]
fn the_mark_is_found_however_it_is_written() {
    let secret = secret("one");
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut written = vec![
        secret.clone(),
        secret.to_lowercase(),
        percent,
        form,
        format!("{secret:?}"),
        format!("{:?}", secret.as_bytes()),
        serde_json::to_string(&secret).unwrap(),
    ];
    for user in ["a", "ab", "abc", "abcd"] {
        let pair = format!("{user}:{MARK}");
        written.push(crate::support::client::basic(&pair));
        written.push(BASE64_URL_SAFE_NO_PAD.encode(&pair));
    }
    for text in written {
        assert!(!find(format!("before {text} behind").as_bytes()).is_empty(), "{text}");
    }
    for text in ["", "SECRET", "secret-xyz", "U0VDUkVU", "a line about service-key+/%&="] {
        assert!(find(text.as_bytes()).is_empty(), "{text}");
    }
}
