/* Every mistake has a status and a message, and none of them harms. */

#include "check.h"

static void expect_message(const char *part) {
  if (strstr(moorline_last_error(), part) == NULL) {
    fprintf(stderr, "expected a message with \"%s\", got \"%s\"\n", part, moorline_last_error());
    exit(1);
  }
}

static void bad_arguments(void) {
  moorline_handle *handle = NULL;
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_open(NULL, "worker", NULL, &handle));
  expect_message("dialect is null");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_open("beacon", "worker", NULL, NULL));
  expect_message("handle is null");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_open("beacon", "work\xff", NULL, &handle));
  expect_message("role is not UTF-8");
  CHECK_STATUS(MOORLINE_ROLE_UNKNOWN, moorline_open("beacon", "waiter", NULL, &handle));
  expect_message("beacon/worker");
  CHECK_STATUS(MOORLINE_CONFIG_INVALID,
               moorline_open("beacon", "worker", "{\"nmae\":1,\"max_concurrent\":0}", &handle));
  expect_message("did you mean name");
  expect_message("max_concurrent: must be");
  CHECK(handle == NULL);

  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_start(NULL));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_submit(NULL, "[]", 2));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_drain(NULL, NULL, NULL, NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_free(NULL));
}

static void bad_calls(void) {
  moorline_handle *worker = NULL;
  CHECK_STATUS(MOORLINE_OK, moorline_open("beacon", "worker", NULL, &worker));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_submit(worker, NULL, 0));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_submit(worker, "[[\"dance\",0,null]]", 18));
  expect_message("dance");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_submit(worker, "[\xc3", 2));
  expect_message("batch is not UTF-8");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_handle_key(worker, NULL, NULL));
  expect_message("key is null");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_handle_key(worker, "Echo/Say", "{"));
  expect_message("meta is not JSON");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_handle_key(worker, "Echo", NULL));
  expect_message("Capability/Action");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_call(worker, 1, "Echo/Say", "{}", 1, NULL));
  expect_message("payload is not JSON");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_complete_done(worker, 1, NULL, 0, NULL));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_drain(worker, NULL, NULL, NULL));
  expect_message("on_event is null");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_descriptor(worker, NULL));
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_drain_text(worker, NULL, 0, NULL, NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_free(worker));
}

static bool was_refused;

/* A mistake that only the session notices is answered by an event. */
static void on_refusal(void *user, const moorline_event *event) {
  struct seat *seat = user;
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_free(seat->handle));
  expect_message("inside a callback");
  CHECK_STATUS(MOORLINE_ARGUMENT_INVALID, moorline_set_callback(seat->handle, NULL, NULL));
  if (event->kind == MOORLINE_EVENT_LOST) {
    CHECK(event->status == MOORLINE_CONNECT_FAILED);
    return;
  }
  CHECK(event->kind == MOORLINE_EVENT_NOTICE);
  CHECK(event->status == MOORLINE_WORK_UNKNOWN);
  CHECK(event->message.len > 0 && has_text(event->json, "WORK_UNKNOWN"));
  was_refused = true;
}

static void mistakes_of_a_started_session(void) {
  struct seat worker;
  take_seat(&worker, "beacon", "worker", "{\"server_url\":\"http://127.0.0.1:9\"}", on_refusal);
  CHECK_STATUS(MOORLINE_OK, moorline_start(worker.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_complete_cancelled(worker.handle, 77));

  /* The refusal crosses as an event; others may come before it, and a ring may bring none. */
  bool found = false;
  while (!found) {
    struct pollfd descriptor = {.fd = worker.descriptor, .events = POLLIN};
    CHECK(poll(&descriptor, 1, PATIENCE_MS) == 1);
    char small[1];
    size_t needed = 0;
    bool more = true;
    CHECK_STATUS(MOORLINE_TOO_LARGE, moorline_drain_text(worker.handle, small, 1, &needed, NULL));
    CHECK(needed >= 2);
    CHECK(poll(&descriptor, 1, 0) == 1);
    char *text = malloc(needed);
    CHECK(text != NULL);
    size_t len = 0;
    CHECK_STATUS(MOORLINE_OK, moorline_drain_text(worker.handle, text, needed, &len, &more));
    CHECK(len == needed && text[0] == '[' && text[len - 1] == ']');
    found = has_text((moorline_text){text, len}, "WORK_UNKNOWN");
    free(text);
  }

  CHECK_STATUS(MOORLINE_OK, moorline_complete_cancelled(worker.handle, 78));
  while (!was_refused) {
    struct pollfd descriptor = {.fd = worker.descriptor, .events = POLLIN};
    CHECK(poll(&descriptor, 1, PATIENCE_MS) == 1);
    CHECK_STATUS(MOORLINE_OK, moorline_drain(worker.handle, worker.on_event, &worker, NULL));
  }
  CHECK_STATUS(MOORLINE_OK, moorline_free(worker.handle));
}

static void on_end(void *user, const moorline_event *event) {
  if (event->kind == MOORLINE_EVENT_ENDED) {
    *(bool *)user = true;
  }
}

static void stop_and_after(void) {
  moorline_handle *worker = NULL;
  int descriptor = -1;
  bool is_over = false;
  CHECK_STATUS(MOORLINE_OK,
               moorline_open("beacon", "worker", "{\"server_url\":\"http://127.0.0.1:9\"}", &worker));
  CHECK_STATUS(MOORLINE_OK, moorline_descriptor(worker, &descriptor));
  CHECK_STATUS(MOORLINE_OK, moorline_start(worker));
  CHECK_STATUS(MOORLINE_OK, moorline_stop(worker, 0));
  moorline_status second = moorline_stop(worker, 0);
  CHECK(second == MOORLINE_OK || second == MOORLINE_STOPPED);
  while (!is_over) {
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};
    CHECK(poll(&readable, 1, PATIENCE_MS) == 1);
    CHECK_STATUS(MOORLINE_OK, moorline_drain(worker, on_end, &is_over, NULL));
  }
  CHECK_STATUS(MOORLINE_STOPPED, moorline_start(worker));
  CHECK_STATUS(MOORLINE_STOPPED, moorline_snapshot(worker, 1));
  CHECK_STATUS(MOORLINE_OK, moorline_drain(worker, on_end, &is_over, NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_free(worker));
}

static void names(void) {
  CHECK(strcmp(moorline_error_name(MOORLINE_OK), "OK") == 0);
  CHECK(strcmp(moorline_error_name(MOORLINE_CALL_TIMEOUT), "CALL_TIMEOUT") == 0);
  CHECK(strcmp(moorline_error_name(12345), "UNKNOWN") == 0);
  CHECK(strlen(moorline_error_fix(MOORLINE_CALL_TIMEOUT)) > 0);
  CHECK(moorline_error_is_retryable(MOORLINE_CALL_TIMEOUT));
  CHECK(!moorline_error_is_retryable(MOORLINE_CONFIG_INVALID));
  CHECK(strchr(moorline_version(), '.') != NULL);
}

int main(void) {
  names();
  bad_arguments();
  bad_calls();
  mistakes_of_a_started_session();
  stop_and_after();
  puts("misuse: ok");
  return 0;
}
