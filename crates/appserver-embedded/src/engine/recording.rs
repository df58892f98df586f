//! Recording of calls: what the service says, and what its user asks for.

use super::party::RecordingMode;
use super::{Board, Half, Refusal, actions};
use openadp_appserver::{
    CallAction, CallEventKind, CallId, Recording, RecordingControls, RecordingState, ServiceKind,
};

/// Of a call that is not recorded yet.
pub(super) fn idle(mode: RecordingMode) -> Recording {
    Recording { controls: controls(mode, None), ..Recording::default() }
}

/// What may be done in a mode.
fn controls(mode: RecordingMode, state: Option<RecordingState>) -> RecordingControls {
    use RecordingMode as Mode;
    match (mode, state) {
        (Mode::OnDemand | Mode::OnDemandUserStart, None) => RecordingControls::Record,
        (Mode::AlwaysPauseResume, Some(RecordingState::Started)) => RecordingControls::Pause,
        (Mode::AlwaysPauseResume, Some(RecordingState::Paused)) => RecordingControls::Resume,
        (Mode::OnDemandUserStart, Some(RecordingState::Started)) => RecordingControls::PauseStop,
        (Mode::OnDemandUserStart, Some(RecordingState::Paused)) => RecordingControls::ResumeStop,
        (Mode::Always | Mode::Never | Mode::OnDemand, _) | (Mode::AlwaysPauseResume, None) => {
            RecordingControls::None
        }
    }
}

fn set(board: &mut Board, id: &CallId, mode: RecordingMode, state: Option<RecordingState>) {
    board.edit(id, |half| {
        if let Some(recording) = &mut half.call.recording {
            recording.state = state;
            recording.recorded |= state.is_some();
            recording.controls = controls(mode, state);
        }
    });
}

fn start(board: &mut Board, id: &CallId, mode: RecordingMode) {
    board.emit(id, CallEventKind::RecordingStarting);
    set(board, id, mode, Some(RecordingState::Started));
    board.emit(id, CallEventKind::RecordingStarted);
}

/// A call was answered.
pub(super) fn begin(board: &mut Board, id: &CallId) {
    let Some(half) = board.half(id) else { return };
    let mode = board.party(&half.owner).and_then(|party| party.recording);
    let fresh = half.call.recording.is_some_and(|recording| !recording.recorded);
    if let Some(mode @ (RecordingMode::Always | RecordingMode::AlwaysPauseResume)) = mode.filter(|_| fresh) {
        start(board, id, mode);
    }
}

/// A call ends.
pub(super) fn end(board: &mut Board, id: &CallId) {
    let Some(recording) = board.half(id).and_then(|half| half.call.recording) else { return };
    board.edit(id, |half| {
        half.call.recording = Some(Recording { recorded: recording.recorded, ..Recording::default() });
    });
    if recording.state.is_some() {
        board.emit(id, CallEventKind::RecordingStopped);
    }
}

/// Its user begins, ends, pauses or resumes it.
pub(super) fn control(board: &mut Board, half: &Half, action: &CallAction) -> Result<(), Refusal> {
    use RecordingControls as May;
    let id = &half.call.id;
    let mode = board.party(&half.owner).and_then(|party| party.recording);
    let (Some(recording), Some(mode)) = (half.call.recording, mode) else {
        return Err(Refusal::NotAssigned(ServiceKind::CallRecording));
    };
    if !half.is_answered() {
        return Err(actions::wrong(half.call.state));
    }
    match (action, recording.controls) {
        (CallAction::Record, May::Record) => start(board, id, mode),
        (CallAction::PauseRecording, May::Pause | May::PauseStop) => {
            set(board, id, mode, Some(RecordingState::Paused));
            board.emit(id, CallEventKind::RecordingPaused);
        }
        (CallAction::ResumeRecording, May::Resume | May::ResumeStop) => {
            set(board, id, mode, Some(RecordingState::Started));
            board.emit(id, CallEventKind::RecordingResumed);
        }
        (CallAction::StopRecording, May::PauseStop | May::ResumeStop) => {
            set(board, id, mode, None);
            board.emit(id, CallEventKind::RecordingStopped);
        }
        _ => return Err(Refusal::WrongState("the recording does not allow it".to_owned())),
    }
    Ok(())
}
