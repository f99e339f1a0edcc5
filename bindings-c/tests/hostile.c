/* Outcomes that are hard to carry. Prints a record for each: name, done or failed, and what the caller saw;
   hostile.py compares them with tests/vectors/hostile_outcomes.json. */

#include "check.h"

enum { MEGABYTE = 1 << 20 };

static char options[256], megabyte[MEGABYTE + 1];
static bool hub_is_ready, worker_is_ready, all_settled;
static struct seat hub, worker, dispatcher;

/* What a handler comes to: a value, or else a message. */
static const struct {
  const char *name, *value, *message;
} rows[] = {
    {"text that spells an escape", "\"\\\\ud83d \\\\\\\\ud83d\"", NULL},
    {"undecodable bytes in a failure", NULL, "name \xff"},
    {"not a number in a result", "NaN", NULL},
    {"an infinity deep in a result", "{\"A\":[null,{\"B\":-Infinity}]}", NULL},
    {"nulls that are meant", "{\"A\":null,\"B\":[null,1.5]}", NULL},
    {"result that JSON has no form for", "undefined", NULL},
    {"integer beyond 64 bits in a result", "\"18446744073709551617\"", NULL},
    {"failure of nothing", NULL, NULL},
    {"failure of a text", NULL, "plain"},
    {"failure with control characters", NULL, "bell \a\x1b[2J\n"},
    {"failure of a megabyte", NULL, megabyte},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void on_hub(void *user, const moorline_event *event) {
  (void)user;
  if (event->kind == MOORLINE_EVENT_READY) {
    snprintf(options, sizeof options, "{\"server_url\":\"http://%.*s\"}", (int)event->name.len,
             event->name.data);
    hub_is_ready = true;
  }
}

static void on_worker(void *user, const moorline_event *event) {
  (void)user;
  worker_is_ready = worker_is_ready || event->kind == MOORLINE_EVENT_READY;
  if (event->kind != MOORLINE_EVENT_WORK) {
    return;
  }
  char key[64], refusal[600];
  snprintf(key, sizeof key, "%.*s", (int)event->name.len, event->name.data);
  unsigned row = (unsigned)atoi(strchr(key, '/') + 1);
  CHECK(row < ROWS);
  if (rows[row].value == NULL) {
    CHECK_STATUS(MOORLINE_OK,
                 moorline_complete_failed(worker.handle, event->id, rows[row].message));
    return;
  }
  moorline_status status = moorline_complete_done(worker.handle, event->id, rows[row].value,
                                                  strlen(rows[row].value), NULL);
  if (status != MOORLINE_OK) {
    /* Refused at the call: the item is still the program's to settle. */
    snprintf(refusal, sizeof refusal, "%s: %s", moorline_error_name(status), moorline_last_error());
    CHECK_STATUS(MOORLINE_OK, moorline_complete_failed(worker.handle, event->id, refusal));
  }
}

static void on_dispatcher(void *user, const moorline_event *event) {
  static unsigned settled;
  (void)user;
  if (event->kind != MOORLINE_EVENT_CALL_DONE) {
    return;
  }
  bool done = event->status == MOORLINE_OK;
  CHECK(done || event->status == MOORLINE_REMOTE_ERROR);
  moorline_text text = done ? event->payload : event->message;
  printf("%s\t%s\t%.*s\x1e", rows[event->id - 1].name, done ? "done" : "failed", (int)text.len,
         text.data);
  all_settled = ++settled == ROWS;
}

int main(void) {
  struct seat *all[] = {&hub, &worker, &dispatcher};
  memset(megabyte, 'x', MEGABYTE);
  take_seat(&hub, "beacon", "hub", "{\"listen\":\"127.0.0.1:0\"}", on_hub);
  CHECK_STATUS(MOORLINE_OK, moorline_start(hub.handle));
  serve(all, 1, &hub_is_ready);

  take_seat(&worker, "beacon", "worker", options, on_worker);
  take_seat(&dispatcher, "beacon", "dispatcher", options, on_dispatcher);
  CHECK_STATUS(MOORLINE_OK, moorline_start(dispatcher.handle));
  char key[64];
  for (unsigned row = 0; row < ROWS; row++) {
    snprintf(key, sizeof key, "Hostile/%u", row);
    CHECK_STATUS(MOORLINE_OK, moorline_handle_key(worker.handle, key, NULL));
  }
  CHECK_STATUS(MOORLINE_OK, moorline_start(worker.handle));
  serve(all, 3, &worker_is_ready);
  for (unsigned row = 0; row < ROWS; row++) {
    snprintf(key, sizeof key, "Hostile/%u", row);
    CHECK_STATUS(MOORLINE_OK, moorline_call(dispatcher.handle, row + 1, key, "{}", 2,
                                            "{\"timeout_ms\":20000}"));
  }
  serve(all, 3, &all_settled);
  CHECK_STATUS(MOORLINE_OK, moorline_free(dispatcher.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_free(worker.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_free(hub.handle));
  return 0;
}
