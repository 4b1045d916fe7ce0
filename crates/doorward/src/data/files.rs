//! Serves files: opens what the rules name and sends what they say.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use rules::files::{Candidate, FileAnswer, Files, Found, Part};
use rules::{Fault, RouteId};
use tokio::task::spawn_blocking;
use wire::Method;
use wire::h1::Framing;

use super::buffer::{Buffer, LARGE_BYTES};
use super::connection::{After, Connection};
use super::respond;
use super::scratch::Scratch;
use super::serve::{self, Body, Done};
use super::worker::Pinned;

/// Answers with the first of `candidates` that is there.
pub(crate) async fn serve(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    (route, files, candidates): (RouteId, &Files, Vec<Candidate>),
    body: Body,
) -> Done {
    for candidate in &candidates {
        let path = files.root().join(&candidate.path);
        let root = files.root().to_owned();
        // Disks block; workers must not.
        let opened = spawn_blocking(move || open(&root, path)).await;
        let (found, file) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(fault)) => {
                return respond::fault(connection, scratch, Some(route), fault, None).await;
            }
            Err(_) => {
                return respond::fault(connection, scratch, Some(route), Fault::Bug, None).await;
            }
        };
        if let Some(answer) = files.answer(candidate, found, &scratch.request, &mut scratch.cx) {
            scratch.cx.note("file", &candidate.path);
            scratch.cx.note("status", answer.status);
            scratch.cx.record("files", "answer", "the file is there");
            return send(connection, snapshot, scratch, route, (answer, file), body).await;
        }
    }
    respond::fault(connection, scratch, Some(route), Fault::FileNotFound, None).await
}

/// Looks at what `path` is, and opens it if it is a file below `root`, symbolic links followed.
fn open(root: &std::path::Path, path: PathBuf) -> Result<(Found, Option<File>), Fault> {
    let Ok(whole) = path.canonicalize() else { return Ok((Found::Nothing, None)) };
    let below = root.canonicalize().is_ok_and(|root| whole.starts_with(root));
    if !below {
        // A link out of the directory: what it shows was not meant to be served.
        return Ok((Found::Nothing, None));
    }
    let metadata = std::fs::metadata(&whole).map_err(|_| Fault::FileUnreadable)?;
    if metadata.is_dir() {
        return Ok((Found::Directory, None));
    }
    if !metadata.is_file() {
        return Ok((Found::Nothing, None));
    }
    let file = File::open(&whole).map_err(|_| Fault::FileUnreadable)?;
    let found = Found::File { bytes: metadata.len(), modified: metadata.modified().ok() };
    Ok((found, Some(file)))
}

async fn send(
    connection: &mut Connection,
    snapshot: &Pinned,
    scratch: &mut Scratch,
    route: RouteId,
    (answer, file): (FileAnswer, Option<File>),
    body: Body,
) -> Done {
    scratch.response.clear();
    scratch.response.status = answer.status;
    for (name, value) in &answer.fields {
        scratch.response.fields.push(name, value);
    }
    serve::see_response(snapshot, scratch, route);
    let persist = respond::may_persist(connection, scratch, body) && !body.framing.has_body();
    let framing = answer.bytes.map_or(Framing::None, Framing::Length);
    let with_body =
        scratch.request.method != Method::Head && answer.bytes.is_some_and(|bytes| bytes > 0);
    respond::write_head(connection, scratch, framing, with_body, persist);
    let mut done = Done::new(Some(route), answer.status, After::Drop);
    let head = std::mem::take(&mut scratch.out);
    let parts = if scratch.request.method == Method::Head { Vec::new() } else { answer.parts };
    let sent = send_parts(connection, &head, parts, file, &mut done.response_bytes).await;
    scratch.out = head;
    match sent {
        Ok(()) if persist => done.after = After::Persist,
        Ok(()) => done.after = After::Close,
        Err(fault) => {
            // The length was announced: only a broken connection can tell that it is not kept.
            (done.fault, done.after) = (Some(fault), After::Reset);
        }
    }
    done
}

async fn send_parts(
    connection: &mut Connection,
    head: &[u8],
    parts: Vec<Part>,
    mut file: Option<File>,
    sent_bytes: &mut u64,
) -> Result<(), Fault> {
    let mut pending = head.to_vec();
    for part in parts {
        match part {
            Part::Bytes(bytes) => {
                *sent_bytes += bytes.len() as u64;
                pending.extend_from_slice(&bytes);
            }
            Part::File(range) => {
                let mut at = range.start;
                while at < range.end {
                    let wanted = (range.end - at).min(LARGE_BYTES as u64) as usize;
                    let reader = file.take().ok_or(Fault::FileUnreadable)?;
                    let (reader, buffer) = read_at(reader, at, wanted).await?;
                    file = Some(reader);
                    respond::write_all(connection, &[&pending, &buffer[..wanted]]).await?;
                    pending.clear();
                    at += wanted as u64;
                    *sent_bytes += wanted as u64;
                }
            }
        }
    }
    if pending.is_empty() { Ok(()) } else { respond::write_all(connection, &[&pending]).await }
}

/// Reads exactly `bytes` bytes at `start`. A file that has become shorter is unreadable.
async fn read_at(mut file: File, start: u64, bytes: usize) -> Result<(File, Buffer), Fault> {
    let mut buffer = Buffer::large();
    spawn_blocking(move || {
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut buffer[..bytes])?;
        Ok::<_, std::io::Error>((file, buffer))
    })
    .await
    .map_err(|_| Fault::Bug)?
    .map_err(|_| Fault::FileUnreadable)
}
