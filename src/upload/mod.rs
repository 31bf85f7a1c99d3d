//! Files that clients put and delete: PUT, POST of a browser's form, DELETE.
//!
//! A file is written where nobody sees it and put in its place when it is complete and on
//! the disk; a request that breaks off leaves nothing. What blocks is done in tokio's
//! blocking threads, a few at a time and each for no longer than files may take.

mod draft;
mod form;
mod place;
mod reply;

use crate::exchange::{Body, Call, Gone, Said, Side, Voice};
use crate::http::limits::Limits;
use crate::http::request::{Request, Slots};
use crate::http::wishes::Wishes;
use crate::http::{Hosts, Status};
use crate::site::Roots;
use draft::Draft;
use place::Place;
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Steps of one store that the file system is asked for at once; further ones wait.
const AT_ONCE: usize = 8;

/// Where files are put beneath one prefix.
#[derive(Debug, Clone)]
pub struct Inbox {
    roots: Arc<Roots>,
    max_bytes: u64,
    limit: Duration,
    hosts: Arc<Hosts>,
    turns: Arc<Semaphore>,
    /// Held from the look at what is there to its change.
    change: Arc<Mutex<()>>,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// This tells the client why.
    With(Status),
    /// There is no client any more.
    Gone,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal::With(status)
    }
}

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Refusal {
        Refusal::Gone
    }
}

/// What was done.
enum Done {
    /// One file was put in its place, with this entity tag; it `is_new`.
    Put { etag: String, is_new: bool },
    /// The files of a form were, by these names.
    Form(Vec<Vec<u8>>),
    /// A file was deleted.
    Deleted,
}

impl Inbox {
    /// Files of at most `max_bytes` beneath the `roots` of these `hosts`; each step of the file system may take `limit`.
    pub fn new(roots: Arc<Roots>, hosts: Arc<Hosts>, max_bytes: u64, limit: Duration) -> Inbox {
        Inbox {
            roots,
            hosts,
            max_bytes,
            limit,
            change: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Carries out `call`; whoever asked may go at any time.
    pub async fn answer(&self, call: Call, side: Side) {
        let Side { body, voice } = side;
        let outcome = tokio::select! {
            outcome = self.carry_out(&call, body, &voice) => outcome,
            () = voice.gone() => return,
        };
        // Who does not hear it has gone.
        let _ = match outcome {
            Ok(done) => reply::say(&voice, &call, done).await,
            Err(Refusal::With(status)) => voice.say(Said::Refuse(status)).await,
            Err(Refusal::Gone) => return,
        };
    }

    async fn carry_out(&self, call: &Call, body: Body, voice: &Voice) -> Result<Done, Refusal> {
        let mut slots = Slots::new();
        let request = Request::parse(&call.head, &mut slots, &Limits::default())?;
        // A part of a file is none (RFC 9110 section 14.5).
        if request.header("content-range").next().is_some() {
            return Err(Status::BadRequest.into());
        }
        let wishes = Wishes::of(&request)
            .keep()
            .map_or_else(Wishes::default, |wishes| *wishes);
        let boundary = form::boundary(request.header("content-type"));
        let method = request.token;
        match method {
            "PUT" => self.put(call, Arc::new(wishes), body, voice).await,
            "DELETE" => self.delete(call, Arc::new(wishes)).await,
            "POST" => match boundary {
                Some(boundary) => {
                    let form = form::Form::new(self, call, wishes);
                    form.take(boundary, body, voice).await
                }
                None => Err(Status::UnsupportedMediaType.into()),
            },
            _ => Err(Status::MethodNotAllowed.into()),
        }
    }

    async fn put(
        &self,
        call: &Call,
        wishes: Arc<Wishes<'static>>,
        body: Body,
        voice: &Voice,
    ) -> Result<Done, Refusal> {
        if call.body_bytes.is_some_and(|bytes| bytes > self.max_bytes) {
            return Err(Status::ContentTooLarge.into());
        }
        let place = Arc::new(self.place_to_put(call).await?);
        if place.is_directory() {
            return Err(Status::Conflict.into());
        }
        let judged = (place.clone(), wishes.clone());
        self.step(move || judged.0.judge(&judged.1)).await?;
        voice.say(Said::Continue).await?;
        let body = (call.body_bytes != Some(0)).then_some(body);
        let draft = self.write(&place, body).await?;
        let change = self.change.clone();
        let put = move |decision: &Decision| draft.put(&place, &wishes, &change, decision);
        let (etag, is_new) = self.decide(put).await?;
        Ok(Done::Put { etag, is_new })
    }

    /// Writes what comes into a file that nobody sees.
    async fn write(&self, place: &Arc<Place>, body: Option<Body>) -> Result<Draft, Refusal> {
        let (begun, turns) = (place.clone(), self.turns.clone());
        let mut draft = self.step(move || Draft::new(&begun, turns)).await?;
        let Some(mut body) = body else {
            return Ok(draft);
        };
        let mut left = self.max_bytes;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Refusal::Gone)?;
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(Status::ContentTooLarge)?;
            draft = self.step(move || draft.write(&piece)).await?;
        }
        Ok(draft)
    }

    async fn delete(&self, call: &Call, wishes: Arc<Wishes<'static>>) -> Result<Done, Refusal> {
        let place = self.place(call).await?;
        if place.is_directory() {
            return Err(Status::Conflict.into());
        }
        let change = self.change.clone();
        self.decide(move |decision| place.delete(&wishes, &change, decision))
            .await?;
        Ok(Done::Deleted)
    }

    /// Where the call's file is, or would be.
    async fn place(&self, call: &Call) -> Result<Place, Refusal> {
        let (roots, host, name) = (self.roots.clone(), call.host, call.name.clone());
        self.step(move || Place::find(&roots, host, &name)).await
    }

    /// The same for a file that may be new: the directory it is in must be there (RFC 4918 section 9.7.1).
    async fn place_to_put(&self, call: &Call) -> Result<Place, Refusal> {
        self.place(call).await.map_err(|refusal| match refusal {
            Refusal::With(Status::NotFound) => Refusal::With(Status::Conflict),
            refusal => refusal,
        })
    }

    /// Has the file system do something, when it is its turn and as long as it may take.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.decide(|_| work()).await
    }

    /// The same for what changes something: once it has decided that, it is waited for to the end, so that nobody is
    /// told of a failure that is none; once it was given up, it changes nothing.
    async fn decide<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Decision) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = timeout(self.limit, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Status::GatewayTimeout.into());
        };
        // What hangs keeps its turn: so it cannot take all threads there are.
        let decision = Arc::new(Decision::default());
        let decides = decision.clone();
        let mut working = spawn_blocking(move || {
            let _turn = turn;
            work(&decides)
        });
        let outcome = match timeout(self.limit, &mut working).await {
            Ok(outcome) => outcome,
            Err(_) if decision.take() => return Err(Status::GatewayTimeout.into()),
            Err(_) => working.await,
        };
        match outcome {
            Ok(done) => done.map_err(|trouble| trouble.status().into()),
            Err(_) => Err(Status::InternalServerError.into()),
        }
    }
}

/// Whether something is changed, or given up: who comes first decides.
#[derive(Debug, Default)]
struct Decision(AtomicBool);

impl Decision {
    /// True for the first who asks.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// A condition of the request does not hold.
    Condition,
    /// It has taken too long, and the client was told so.
    TooLate,
    /// What the file system said.
    System(Errno),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::System(errno)
    }
}

impl Trouble {
    /// What the client is told.
    fn status(self) -> Status {
        match self {
            Trouble::Condition => Status::PreconditionFailed,
            Trouble::TooLate => Status::GatewayTimeout,
            Trouble::System(errno) => match errno {
                Errno::NOSPC | Errno::DQUOT => Status::InsufficientStorage,
                Errno::FBIG => Status::ContentTooLarge,
                Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::XDEV | Errno::LOOP => {
                    Status::Forbidden
                }
                Errno::NOENT => Status::NotFound,
                Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NAMETOOLONG => {
                    Status::Conflict
                }
                _ => Status::InternalServerError,
            },
        }
    }
}
