//! Runs htpasswd-verify on lines of stdin: a file, a user and a password, in hex. For each line, stdout has `accepts`,
//! `refuses`, `panics` or `unaskable`. `unaskable` means that a value is not UTF-8, which the crate requires.

use std::io::{self, BufRead, Write};
use std::panic;

use htpasswd_verify::Htpasswd;

fn main() -> io::Result<()> {
    // The panic message of the crate would contain the whole hash.
    panic::set_hook(Box::new(|_| {}));
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(stdout, "{}", answer(&line?))?;
        // The next line may end this process.
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
