//! Writes to a stream from a thread of its own, so that nobody else ever waits for whoever reads it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The way to the thread that writes; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Writer(SyncSender<Task>);

#[derive(Debug)]
enum Task {
    Write(Vec<u8>),
    /// Says when everything before it is written.
    Tell(SyncSender<()>),
}

impl Writer {
    /// Starts a thread called `name` that writes to `stream` and lets at most `waiting_max` texts
    /// wait.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(
        name: &str,
        waiting_max: usize,
        stream: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(waiting_max);
        let write = move || write_all(&receiver, stream);
        thread::Builder::new().name(name.to_owned()).spawn(write)?;
        Ok(Self(sender))
    }

    /// Has `text` written; false if too much waits already, and then it is lost.
    pub(crate) fn write(&self, text: Vec<u8>) -> bool {
        self.0.try_send(Task::Write(text)).is_ok()
    }

    /// Waits until everything so far is written, but not longer than `limit`: a reader that stands
    /// still is no reason to.
    pub(crate) fn finish(&self, limit: Duration) {
        let (tell, told) = sync_channel(1);
        // The queue may be full of what nobody takes: asking for a place in it may take as long.
        let writer = self.0.clone();
        let ask = thread::Builder::new().spawn(move || writer.send(Task::Tell(tell)));
        if ask.is_ok() {
            let _ = told.recv_timeout(limit);
        }
    }
}

fn write_all(receiver: &Receiver<Task>, mut stream: impl Write) {
    while let Ok(task) = receiver.recv() {
        match task {
            // A closed pipe must not end the program; the text is lost as it would be anyway.
            Task::Write(text) => drop(stream.write_all(&text).and_then(|()| stream.flush())),
            Task::Tell(tell) => drop(tell.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_stands_still_stops_nobody_and_gets_the_rest_when_it_goes_on() {
        let (mut reader, stream) = io::pipe().expect("a pipe");
        let writer = Writer::start("test", 4, stream).expect("a thread");
        let text = vec![b'x'; 1 << 20];
        // One is being written, four wait, and there is no room for more.
        let taken = (0..100).filter(|_| writer.write(text.clone())).count();
        assert!((4..=6).contains(&taken), "{taken}");
        writer.finish(Duration::from_millis(10));
        let mut first = vec![0; taken << 20];
        reader.read_exact(&mut first).expect("it goes on");
        assert!(writer.write(b"last".to_vec()));
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).expect("it ends");
        assert_eq!(rest, b"last");
    }

    #[test]
    fn finishing_waits_for_everything() {
        let (mut reader, stream) = io::pipe().expect("a pipe");
        let writer = Writer::start("test", 100, stream).expect("a thread");
        (0..100).for_each(|_| assert!(writer.write(b"line\n".to_vec())));
        writer.finish(Duration::from_secs(20));
        let mut text = [0; 500];
        reader.read_exact(&mut text).expect("all of it is there");
    }
}
