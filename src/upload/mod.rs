//! Files that clients put and delete: PUT, POST of a browser's form, DELETE.
//!
//! A file is written where nobody sees it and put in its place when it is complete and on
//! the disk; a request that breaks off leaves nothing. What blocks is done in tokio's
//! blocking threads, a few at a time for each mount and each for no longer than files may take.

mod draft;
mod form;
mod lanes;
mod place;
mod reply;
mod unseen;

use crate::exchange::{Body, Call, Gone, Said, Side, Voice};
use crate::http::limits::Limits;
use crate::http::request::{Request, Slots};
use crate::http::wishes::Wishes;
use crate::http::{Hosts, Status};
use crate::site::Roots;
use draft::{Draft, put_all};
use lanes::{Decision, Lanes};
use place::Place;
use rustix::io::Errno;
use std::sync::Arc;
use std::time::Duration;

/// Where files are put beneath one prefix.
#[derive(Debug, Clone)]
pub struct Inbox {
    roots: Arc<Roots>,
    max_bytes: u64,
    hosts: Arc<Hosts>,
    lanes: Arc<Lanes>,
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
            lanes: Arc::new(Lanes::new(limit)),
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
        let lane = place.lane.clone();
        let judged = (place.clone(), wishes.clone());
        lane.step(move || judged.0.judge(&judged.1)).await?;
        voice.say(Said::Continue).await?;
        let body = (call.body_bytes != Some(0)).then_some(body);
        let draft = self.write(&place, body).await?;
        let put = move |decision: &Decision| put_all(vec![(place, draft)], &wishes, decision);
        let put = lane.decide(put).await?.pop();
        let (etag, is_new) = put.ok_or(Status::InternalServerError)?;
        Ok(Done::Put { etag, is_new })
    }

    /// Writes what comes into a file that nobody sees.
    async fn write(&self, place: &Arc<Place>, body: Option<Body>) -> Result<Draft, Refusal> {
        let (begun, lane) = (place.clone(), &place.lane);
        let mut draft = lane.step(move || Draft::new(&begun)).await?;
        let Some(mut body) = body else {
            return Ok(draft);
        };
        let mut left = self.max_bytes;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Refusal::Gone)?;
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(Status::ContentTooLarge)?;
            draft = lane.step(move || draft.write(&piece)).await?;
        }
        Ok(draft)
    }

    async fn delete(&self, call: &Call, wishes: Arc<Wishes<'static>>) -> Result<Done, Refusal> {
        let place = self.place(call).await?;
        if place.is_directory() {
            return Err(Status::Conflict.into());
        }
        let lane = place.lane.clone();
        lane.decide(move |decision| place.delete(&wishes, decision))
            .await?;
        Ok(Done::Deleted)
    }

    /// Where the call's file is, or would be.
    async fn place(&self, call: &Call) -> Result<Place, Refusal> {
        let (host, name) = (call.host, call.name.clone());
        // Never a file, and who looks at it asks what is mounted, in the turns of the mount around it.
        if self.roots.is_mount_point(host, &name) {
            return Err(Status::Conflict.into());
        }
        let lane = self.lanes.of(self.roots.device_of(host, &name));
        let (roots, lanes) = (self.roots.clone(), self.lanes.clone());
        let find = move || {
            let place = Place::find(&roots, &lanes, host, &name);
            roots.look_at_mounts();
            place
        };
        lane.step(find).await
    }

    /// The same for a file that may be new: the directory it is in must be there (RFC 4918 section 9.7.1).
    async fn place_to_put(&self, call: &Call) -> Result<Place, Refusal> {
        self.place(call).await.map_err(|refusal| match refusal {
            Refusal::With(Status::NotFound) => Refusal::With(Status::Conflict),
            refusal => refusal,
        })
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
