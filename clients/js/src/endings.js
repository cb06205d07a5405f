/** What the server's errors mean for a recording that goes on. */

// There is no such session any more: another begins.
const GONE = ["unknown_session", "session_over", "events_gone"];
// A server that is full or going away may be back in a while.
const LATER = ["going_away", "overloaded", "rate_limited", "too_many_streams"];

export const isGone = (code) => GONE.includes(code);

/** Whether another connection may do what this one could not. */
export function isPassing(code, isSpeaking) {
  // To one who is speaking it says that the session has been as long as may be.
  return isGone(code) || LATER.includes(code) || (code === "timed_out" && isSpeaking);
}
