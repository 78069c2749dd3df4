//! A terminal of 80 columns and somebody who types: the binary behind a pseudo-terminal, which
//! `script` of util-linux makes.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::process::{eventually, meridian};

/// How long something may take that happens at once, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A question of the program for the cursor's place; a terminal answers it.
const WHERE: &[u8] = b"\x1b[6n";

/// The answer: in the upper left corner.
const HERE: &[u8] = b"\x1b[1;1R";

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    seen: Arc<Mutex<Vec<u8>>>,
    /// How much of what was seen has been looked at.
    read: usize,
}

impl Terminal {
    /// Starts the binary with these arguments; its home is a folder of the test.
    ///
    /// # Panics
    /// If the system has no `script`.
    #[must_use]
    pub fn start(home: &Path, arguments: &str) -> Terminal {
        let command = format!("stty cols 80 rows 24; exec {} {arguments}", meridian().display());
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", &command, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "xterm")
            .env_remove("COLUMNS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script of util-linux makes a terminal");
        let input = Arc::new(Mutex::new(child.stdin.take().expect("it is piped")));
        let mut output = child.stdout.take().expect("it is piped");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answering, watching) = (Arc::clone(&input), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut answered = 0;
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let mut seen = watching.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend_from_slice(&buffer[..count]);
                let asked = seen.windows(WHERE.len()).filter(|part| *part == WHERE).count();
                drop(seen);
                while answered < asked {
                    let mut input = answering.lock().unwrap_or_else(PoisonError::into_inner);
                    // It may have ended meanwhile.
                    drop(input.write_all(HERE).and_then(|()| input.flush()));
                    answered += 1;
                }
            }
        });
        Terminal { child, input, seen, read: 0 }
    }

    /// Types; `\r` is Enter, `\t` Tab, `\x03` Ctrl-C.
    ///
    /// # Panics
    /// If the program has ended.
    pub fn types(&mut self, keys: &str) {
        self.read = self.seen.lock().unwrap_or_else(PoisonError::into_inner).len();
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).expect("it reads");
    }

    /// What was printed since something was typed last, without what is for the terminal alone.
    #[must_use]
    pub fn printed(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        plain(&String::from_utf8_lossy(&seen[self.read..]))
    }

    /// Waits until something is printed.
    ///
    /// # Panics
    /// If it is not in time.
    pub async fn shows(&self, what: &str) -> String {
        eventually(what, PATIENCE, async || {
            let printed = self.printed();
            if printed.contains(what) { Ok(printed) } else { Err(printed) }
        })
        .await
    }

    /// Waits for its end; its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn ends(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let ended = eventually("it ends", PATIENCE, async || {
            child.try_wait().expect("ask for its state").ok_or("it runs")
        });
        ended.await.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A text without escape sequences.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => {
                // `ESC [ parameters letter`, or `ESC letter`.
                if rest.next() == Some('[') {
                    rest.by_ref().find(|c| c.is_ascii_alphabetic() || *c == '~');
                }
            }
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}
