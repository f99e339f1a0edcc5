/* Moorline for C. Generated from bindings-c/src and the tables of core: do not edit.
   License: MIT OR Apache-2.0. */

#ifndef MOORLINE_H
#define MOORLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long moorline_stop drains in the other languages when it does not say. */
#define MOORLINE_DEFAULT_DRAIN_MS 30000

/* What a function returns. */
enum {
  /* Success. */
  MOORLINE_OK = 0,
  /* An option is missing, unknown or out of its range. */
  MOORLINE_CONFIG_INVALID = 100,
  /* An argument of a call is not of the documented shape. */
  MOORLINE_ARGUMENT_INVALID = 101,
  /* The dialect or role is not one that this build speaks. */
  MOORLINE_ROLE_UNKNOWN = 102,
  /* The role has no such call. */
  MOORLINE_UNSUPPORTED = 103,
  /* start was called twice. */
  MOORLINE_ALREADY_STARTED = 104,
  /* The call needs a started session. */
  MOORLINE_NOT_STARTED = 105,
  /* The session has been stopped. */
  MOORLINE_STOPPED = 106,
  /* The handle belongs to the parent process. */
  MOORLINE_FORKED = 107,
  /* The work item is not running here: it was settled or withdrawn before. */
  MOORLINE_WORK_UNKNOWN = 108,
  /* No handler is registered under that key. */
  MOORLINE_HANDLER_UNKNOWN = 109,
  /* A bounded queue of this process is full. */
  MOORLINE_OVERLOADED = 110,
  /* A payload exceeds a size limit. */
  MOORLINE_TOO_LARGE = 111,
  /* The input that a call refers to no longer exists. */
  MOORLINE_INPUT_GONE = 112,
  /* The session is not registered at the control plane, or ceased to be during the call. */
  MOORLINE_NOT_READY = 113,
  /* No reply came before the deadline of the call. */
  MOORLINE_CALL_TIMEOUT = 200,
  /* The caller cancelled the call. */
  MOORLINE_CALL_CANCELLED = 201,
  /* The work item ran longer than its time limit. */
  MOORLINE_WORK_EXPIRED = 202,
  /* The connection was not established and registered in time. */
  MOORLINE_CONNECT_TIMEOUT = 203,
  /* Work was still running when the drain deadline passed. */
  MOORLINE_DRAIN_TIMEOUT = 204,
  /* The connection could not be established. */
  MOORLINE_CONNECT_FAILED = 300,
  /* The connection ended. */
  MOORLINE_CONNECTION_LOST = 301,
  /* The other side did not answer two pings in a row. */
  MOORLINE_PEER_SILENT = 302,
  /* TLS could not be established. */
  MOORLINE_TLS_FAILED = 303,
  /* The proxy refused or failed. */
  MOORLINE_PROXY_FAILED = 304,
  /* The address could not be listened on. */
  MOORLINE_LISTEN_FAILED = 305,
  /* The store could not be read or written. */
  MOORLINE_STORE_FAILED = 306,
  /* The control plane refused the registration. */
  MOORLINE_PEER_REFUSED = 400,
  /* The control plane did not accept the credentials. */
  MOORLINE_AUTHENTICATION_FAILED = 401,
  /* The other side sent something that the protocol does not allow. */
  MOORLINE_PEER_PROTOCOL = 402,
  /* The other side answered with an error. */
  MOORLINE_REMOTE_ERROR = 403,
  /* No worker is registered at the control plane. */
  MOORLINE_NO_WORKER = 404,
  /* The control plane asked for fewer requests. */
  MOORLINE_RATE_LIMITED = 405,
  /* The control plane no longer knows the work item; its outcome was not taken. */
  MOORLINE_WORK_LOST = 406,
  /* The control plane did not enroll this daemon. */
  MOORLINE_ENROLLMENT_FAILED = 407,
  /* The connection stands but the control plane did not confirm the registration. */
  MOORLINE_REGISTRATION_FAILED = 408,
  /* Another worker registered this worker's name. */
  MOORLINE_NAME_TAKEN = 409,
  /* A worker gets no new work, or gets it again: an operator said so. */
  MOORLINE_WORKER_DRAINED = 410,
  /* A handler failed. */
  MOORLINE_HANDLER_FAILED = 500,
  /* The program around Moorline has not run its event loop for too long. */
  MOORLINE_HOST_STALLED = 501,
  /* A heartbeat could not be made: its payload factory failed. */
  MOORLINE_HEARTBEAT_FAILED = 502,
  /* Moorline itself failed. */
  MOORLINE_INTERNAL = 900
};

/* The kinds of events. */
enum {
  /* The link is up and registered, or the listener is bound. */
  MOORLINE_EVENT_READY = 1,
  /* The link is down; the session tries again by itself. */
  MOORLINE_EVENT_LOST = 2,
  /* A call settled; exactly one for each call, with either a value or an error. */
  MOORLINE_EVENT_CALL_DONE = 3,
  /* A call reported progress or a part of its reply. */
  MOORLINE_EVENT_CALL_PART = 4,
  /* A work item for a handler. */
  MOORLINE_EVENT_WORK = 5,
  /* The item is no longer wanted: stop working on it. Its outcome is ignored. */
  MOORLINE_EVENT_WORK_WITHDRAWN = 6,
  /* A message that is neither work nor a reply. */
  MOORLINE_EVENT_MESSAGE = 7,
  /* A peer registered at this server. */
  MOORLINE_EVENT_PEER_JOINED = 8,
  /* A peer is gone. */
  MOORLINE_EVENT_PEER_LEFT = 9,
  /* Something worth knowing that needs no answer. */
  MOORLINE_EVENT_NOTICE = 11,
  /* A drain began, or made progress. */
  MOORLINE_EVENT_DRAINING = 12,
  /* The session is over; the last event. */
  MOORLINE_EVENT_ENDED = 13,
  /* The enrollment succeeded. */
  MOORLINE_EVENT_ENROLLED = 14,
  /* Parts of a stream that were handed over have left this process. */
  MOORLINE_EVENT_WORK_DRAINED = 15,
  /* A heartbeat is due and the application makes its payload: complete it as if it were work. */
  MOORLINE_EVENT_BEAT_ASKED = 16,
  /* A message that is not JSON, as it is: in JSON either text or bytes. */
  MOORLINE_EVENT_RECEIVED = 17,
  /* A connection is over, or an attempt to open one. */
  MOORLINE_EVENT_CLOSED = 18,
  /* Someone asks to be let in: answer with admit or refuse. Without an answer the peer is asked to come back. */
  MOORLINE_EVENT_ADMISSION_ASKED = 19,
  /* More has not left than allowed, or all of it has left since. */
  MOORLINE_EVENT_BACKLOG = 20,
  /* A heartbeat of the protocol; most are told only where an option asks for them. */
  MOORLINE_EVENT_HEARTBEAT = 21
};


/**
 * One worker, dispatcher or hub with its own thread. Every function that takes one may be called
 * from any thread, and none waits for the network.
 */
typedef struct moorline_handle moorline_handle;

/**
 * `MOORLINE_OK`, or the number of an error code.
 */
typedef int32_t moorline_status;

/**
 * Learns that events wait to be drained.
 */
typedef void (*moorline_on_ready)(void *user);

/**
 * UTF-8 text of the library: `len` bytes from `data` on, not NUL-terminated.
 */
typedef struct moorline_text {
  /**
   * The first byte; never null.
   */
  const char *data;
  /**
   * The number of bytes.
   */
  size_t len;
} moorline_text;

/**
 * One event, with the fields that programs branch on. All texts are valid during the callback
 * only.
 */
typedef struct moorline_event {
  /**
   * Which event: one of `MOORLINE_EVENT_*`.
   */
  int32_t kind;
  /**
   * What went wrong, or `MOORLINE_OK`.
   */
  moorline_status status;
  /**
   * The call, work item, heartbeat or peer; 0 if the event has none.
   */
  uint64_t id;
  /**
   * The handler key of a work item, our id of a ready link, the name of a peer; else empty.
   */
  struct moorline_text name;
  /**
   * JSON: the payload of a work item or message, the value of a call, a part of it; else empty.
   */
  struct moorline_text payload;
  /**
   * What went wrong, for people; else empty.
   */
  struct moorline_text message;
  /**
   * The whole event as a JSON object.
   */
  struct moorline_text json;
} moorline_event;

/**
 * Takes one event. `event` and all that it points to are valid during the call only.
 */
typedef void (*moorline_on_event)(void *user, const struct moorline_event *event);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a role of a dialect, such as "beacon" and "worker". `options` is a JSON object, or null
 * for the defaults. Connects nothing: see `moorline_start`.
 *
 * Fails with `MOORLINE_ROLE_UNKNOWN`, or with `MOORLINE_CONFIG_INVALID` and every problem of the
 * options in `moorline_last_error`.
 *
 * # Safety
 * The texts are NUL-terminated. `*handle` is written on success only; it belongs to the caller,
 * who gives it back to `moorline_free`.
 */
moorline_status moorline_open(const char *dialect,
                              const char *role,
                              const char *options,
                              struct moorline_handle **handle);

/**
 * Ends at once, without drain, and frees the handle. Null is ignored. Afterwards no callback runs
 * and the descriptor is closed. Fails with `MOORLINE_ARGUMENT_INVALID`, and frees nothing, inside
 * a callback.
 *
 * # Safety
 * `handle` came from `moorline_open`, was not freed before, and is in use on no other thread.
 */
moorline_status moorline_free(struct moorline_handle *handle);

/**
 * Hands over one turn of commands: `len` bytes of JSON, an array of `[name, id, body]`. See the
 * table of commands in the documentation. Nothing of a batch with a fault is carried out.
 *
 * # Safety
 * `handle` came from `moorline_open`; `batch` has `len` readable bytes.
 */
moorline_status moorline_submit(const struct moorline_handle *handle,
                                const char *batch,
                                size_t len);

/**
 * Returns a descriptor that is readable while events wait: for poll, select, epoll or an event
 * loop. `moorline_drain` reads it; the caller must not.
 *
 * # Safety
 * `handle` came from `moorline_open`. `*descriptor` is written on success only and stays valid
 * until `moorline_free`, which closes it.
 */
moorline_status moorline_descriptor(const struct moorline_handle *handle, int32_t *descriptor);

/**
 * Sets what is called when the event queue turns from empty to non-empty; null for nothing. It is
 * called at once if events wait already. Waits for a call of the former callback to return.
 *
 * `on_ready` runs on the driver's thread: it must return quickly, must not wait for anything, and
 * must not call `moorline_set_callback`. It is meant to wake up the thread that drains.
 *
 * # Safety
 * `handle` came from `moorline_open`; `on_ready` may be called with `user` on another thread until
 * it is replaced or `moorline_free` has returned.
 */
moorline_status moorline_set_callback(const struct moorline_handle *handle,
                                      moorline_on_ready on_ready,
                                      void *user);

/**
 * Connects, or listens. The event `MOORLINE_EVENT_READY` follows, or `MOORLINE_EVENT_ENDED`.
 *
 * # Safety
 * `handle` came from `moorline_open`.
 */
moorline_status moorline_start(const struct moorline_handle *handle);

/**
 * Refuses new work, lets running work finish for `drain_ms`, says farewell and ends with the event
 * `MOORLINE_EVENT_ENDED`. 0 ends at once; `MOORLINE_DEFAULT_DRAIN_MS` is what other languages
 * allow.
 *
 * # Safety
 * `handle` came from `moorline_open`.
 */
moorline_status moorline_stop(const struct moorline_handle *handle, uint64_t drain_ms);

/**
 * Offers a handler under `key`, such as "Echo/Say"; its work arrives as `MOORLINE_EVENT_WORK`.
 * `meta` is a JSON object that describes it, or null. Fails with `MOORLINE_ARGUMENT_INVALID` for a key that
 * the role cannot have.
 *
 * # Safety
 * `handle` came from `moorline_open`; the texts are NUL-terminated.
 */
moorline_status moorline_handle_key(const struct moorline_handle *handle,
                                    const char *key,
                                    const char *meta);

/**
 * Withdraws a handler.
 *
 * # Safety
 * `handle` came from `moorline_open`; `key` is NUL-terminated.
 */
moorline_status moorline_unhandle_key(const struct moorline_handle *handle, const char *key);

/**
 * Makes a call. It settles in exactly one `MOORLINE_EVENT_CALL_DONE` with the same `call`, a
 * number of the caller's own, from 1 on and never used twice with this handle. `payload` is `len`
 * bytes of JSON, or null for none; `options` is a JSON object, or null for the defaults. Byte
 * strings beside the payload go through `moorline_submit`.
 *
 * # Safety
 * `handle` came from `moorline_open`; `payload` has `len` readable bytes; the other texts are
 * NUL-terminated.
 */
moorline_status moorline_call(const struct moorline_handle *handle,
                              uint64_t call,
                              const char *name,
                              const char *payload,
                              size_t len,
                              const char *options);

/**
 * Cancels a call; it settles with `MOORLINE_CALL_CANCELLED` unless it settled before.
 *
 * # Safety
 * `handle` came from `moorline_open`.
 */
moorline_status moorline_cancel(const struct moorline_handle *handle, uint64_t call);

/**
 * Asks for the state of the handle; answered by `MOORLINE_EVENT_CALL_DONE` with the same `call`.
 *
 * # Safety
 * `handle` came from `moorline_open`.
 */
moorline_status moorline_snapshot(const struct moorline_handle *handle, uint64_t call);

/**
 * Sends a message without reply. `payload` is `len` bytes of JSON, or null for none. Byte strings
 * beside it go through `moorline_submit`.
 *
 * # Safety
 * `handle` came from `moorline_open`; `name` is NUL-terminated; `payload` has `len` readable
 * bytes.
 */
moorline_status moorline_emit(const struct moorline_handle *handle,
                              const char *name,
                              const char *payload,
                              size_t len);

/**
 * Settles a work item with a result: `value` is `len` bytes of JSON; `log` is a JSON list of text
 * lines, or null for none.
 *
 * # Safety
 * `handle` came from `moorline_open`; `value` has `len` readable bytes; `log` is NUL-terminated.
 */
moorline_status moorline_complete_done(const struct moorline_handle *handle,
                                       uint64_t work,
                                       const char *value,
                                       size_t len,
                                       const char *log);

/**
 * Settles a work item as failed. The message is cut at 512 bytes. A failure is never refused for its words:
 * what is no UTF-8 becomes U+FFFD, and null is a failure without words.
 *
 * # Safety
 * `handle` came from `moorline_open`; `message` is NUL-terminated.
 */
moorline_status moorline_complete_failed(const struct moorline_handle *handle,
                                         uint64_t work,
                                         const char *message);

/**
 * Settles a work item that was given up after `MOORLINE_EVENT_WORK_WITHDRAWN`.
 *
 * # Safety
 * `handle` came from `moorline_open`.
 */
moorline_status moorline_complete_cancelled(const struct moorline_handle *handle, uint64_t work);

/**
 * Reports progress of a work item: `report` is `len` bytes, a JSON object.
 *
 * # Safety
 * `handle` came from `moorline_open`; `report` has `len` readable bytes.
 */
moorline_status moorline_progress(const struct moorline_handle *handle,
                                  uint64_t work,
                                  const char *report,
                                  size_t len);

/**
 * Hands the events that wait to `on_event`, in order: at most 64 KiB of them, so that an event
 * loop can breathe. `*more` tells whether others wait; then the descriptor stays readable, but no
 * callback tells.
 *
 * # Safety
 * `handle` came from `moorline_open`; `on_event` may be called with `user` during the call. `more`
 * may be null. Inside `on_event` every function may be called but `moorline_free` and the drains.
 */
moorline_status moorline_drain(const struct moorline_handle *handle,
                               moorline_on_event on_event,
                               void *user,
                               bool *more);

/**
 * Copies the events that wait into `buffer` as one JSON array, at most 64 KiB unless a single
 * event is larger. `*len` is its length; no NUL follows. Without events the array is empty. If the
 * buffer is too small, fails with `MOORLINE_TOO_LARGE` and writes the length needed to `*len`; the
 * events stay.
 *
 * # Safety
 * `handle` came from `moorline_open`; `buffer` has `capacity` writable bytes; `more` may be null.
 */
moorline_status moorline_drain_text(const struct moorline_handle *handle,
                                    char *buffer,
                                    size_t capacity,
                                    size_t *len,
                                    bool *more);

/**
 * Returns what the last failure on this thread was about, for people; "" if there was none.
 *
 * # Safety
 * The text is valid until the next Moorline call on the same thread.
 */
const char *moorline_last_error(void);

/**
 * Returns the stable name of a status, such as "CALL_TIMEOUT"; "OK" for `MOORLINE_OK`, "UNKNOWN"
 * for a number that is none.
 *
 * # Safety
 * The text is valid for ever.
 */
const char *moorline_error_name(moorline_status status);

/**
 * Returns one sentence on what to do about a status; "" if nothing is known.
 *
 * # Safety
 * The text is valid for ever.
 */
const char *moorline_error_fix(moorline_status status);

/**
 * Tells whether the same call may succeed later.
 *
 * # Safety
 * Safe to call at any time from any thread.
 */
bool moorline_error_is_retryable(moorline_status status);

/**
 * Returns the library's version, such as "0.1.0".
 *
 * # Safety
 * The text is valid for ever.
 */
const char *moorline_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MOORLINE_H */
