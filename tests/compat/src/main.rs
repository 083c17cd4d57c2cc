//! Asks htpasswd-verify: each line of stdin is a file, a user and a password, in hex; each line of
//! stdout says `accepts`, `refuses`, `panics`, or `unaskable` where they are not UTF-8, which is all
//! that the crate can be given.

use std::io::{self, BufRead, Write};
use std::panic;

use htpasswd_verify::Htpasswd;

fn main() -> io::Result<()> {
    // A panic of the crate's names the whole hash.
    panic::set_hook(Box::new(|_| {}));
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(stdout, "{}", answer(&line?))?;
        // The next line may be the one that ends this process.
        stdout.flush()?;
    }
    Ok(())
}

fn answer(line: &str) -> &'static str {
    let mut fields = line.split(' ').map(unhex);
    let mut next = || fields.next().expect("three fields");
    let (file, user, password) = (next(), next(), next());
    let (Ok(file), Ok(user), Ok(password)) =
        (String::from_utf8(file), String::from_utf8(user), String::from_utf8(password))
    else {
        return "unaskable";
    };
    match panic::catch_unwind(|| Htpasswd::new_owned(&file).check(user, password)) {
        Ok(true) => "accepts",
        Ok(false) => "refuses",
        Err(_) => "panics",
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2).map(|two| std::str::from_utf8(two).expect("hex"));
    digits.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect()
}
