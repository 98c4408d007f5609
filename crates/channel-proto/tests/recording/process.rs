//! What reached the recorded processes, and what they then wrote.

use channel_proto::request::Action;
use serde_json::Value;

use super::{Recording, Sender};

/// What a process gets from its client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) stdin: Vec<u8>,
    pub(crate) stdin_closed: bool,
    /// Width and height.
    pub(crate) sizes: Vec<(u16, u16)>,
    /// The size, height first, whenever the process was asked for it.
    pub(crate) answers: Vec<String>,
}

impl Received {
    pub(crate) fn push_stdin(&mut self, data: &[u8]) {
        let asked = count(&self.stdin, b"stty size");
        self.stdin.extend_from_slice(data);
        for _ in asked..count(&self.stdin, b"stty size") {
            let (width, height) = self.sizes.last().copied().unwrap_or_default();
            self.answers.push(format!("{height} {width}"));
        }
    }
}

fn count(text: &[u8], part: &[u8]) -> usize {
    if text.len() > 1 << 16 { 0 } else { text.windows(part.len()).filter(|window| *window == part).count() }
}

/// What a server that takes each data frame as a message of its own hands on: this is how Go's library reads.
pub(crate) fn received(recording: &Recording) -> Received {
    let streams = recording.pod().unwrap().streams;
    let v5 = recording.chosen == "v5.channel.k8s.io";
    let mut received = Received::default();
    let mut sizes_closed = !streams.tty;
    let mut text = String::new();
    for frame in recording.sent_by(Sender::Client) {
        if frame.opcode == super::frames::CLOSE || !frame.masked || frame.payload.len() > 32 << 20 {
            break;
        }
        match (v5, &frame.payload[..], recording.split(frame)) {
            (true, [255, 0], _) => received.stdin_closed |= streams.stdin,
            (true, [255, 4], _) => sizes_closed = true,
            (true, [255, 1..=3], _) => {}
            (true, [255, ..], _) => break,
            (_, _, Some((0, payload))) if streams.stdin && !received.stdin_closed => {
                received.push_stdin(&payload);
            }
            (_, _, Some((4, payload))) if !sizes_closed => {
                text.push_str(std::str::from_utf8(&payload).unwrap());
                received.sizes.extend(size(&mut text));
            }
            _ => {}
        }
    }
    received
}

/// The last size in a text of whole objects, which is used up; half an object stays.
fn size(text: &mut String) -> Option<(u16, u16)> {
    let objects: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    if objects.as_ref().is_err_and(serde_json::Error::is_eof) {
        return None;
    }
    text.clear();
    let object = objects.ok()?.pop()?;
    let field = |names: [&str; 2]| u16::try_from(names.iter().find_map(|name| object[*name].as_u64())?).ok();
    let (width, height) = (field(["Width", "width"])?, field(["Height", "height"])?);
    (width > 0 && height > 0).then_some((width, height))
}

/// Whether the output in the recording is what its process writes after it received this; `None` if nobody knows.
pub(crate) fn fits(recording: &Recording, received: &Received) -> Option<bool> {
    let pod = recording.pod()?;
    let Action::Exec { command } = &pod.action else { return None };
    let output = recording.output(if pod.streams.stdout { 1 } else { 2 });
    if pod.streams.tty {
        let lines = std::str::from_utf8(&output).ok()?.split("\r\n");
        let is_size = |line: &&str| {
            line.split_once(' ')
                .is_some_and(|(rows, columns)| [rows, columns].iter().all(|part| part.parse::<u16>().is_ok()))
        };
        return Some(lines.filter(is_size).eq(received.answers.iter().map(String::as_str)));
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    Some(output == writes(&command, &received.stdin, received.stdin_closed)?)
}

/// What these programs write.
fn writes(command: &[&str], stdin: &[u8], ended: bool) -> Option<Vec<u8>> {
    let line = || stdin.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
    let if_ended = |text: String| if ended { text.into_bytes() } else { Vec::new() };
    let [.., script] = command else { return None };
    Some(match *script {
        "cat" => stdin.to_vec(),
        "-n1" => line(),
        "-c" | "sleep 4; wc -c" => if_ended(format!("{}\n", stdin.len())),
        "cat; sleep 1; echo end" => [stdin, &if_ended("end\n".into())].concat(),
        "read x; echo $x >&2" => line(),
        "echo hi" | "echo hi; exit 7" | "echo hi; echo err >&2; exit 7" => b"hi\n".to_vec(),
        "dd if=/dev/zero bs=65536 count=16 2>/dev/null" => vec![0; 1 << 20],
        script => {
            let count = script.strip_prefix("head -c ")?;
            if let Some(count) = count.strip_suffix(" | wc -c") {
                let count: usize = count.parse().ok()?;
                return Some(if stdin.len() >= count { format!("{count}\n").into() } else { Vec::new() });
            }
            let count = count.split(' ').next()?.parse().ok()?;
            vec![0; count]
        }
    })
}
