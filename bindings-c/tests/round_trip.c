/* A hub, a worker and a dispatcher in one process and one thread, over real sockets. */

#include "check.h"

static char options[256];
static bool hub_is_ready, worker_is_ready, worker_is_over, all_settled, was_withdrawn;
static uint64_t kept_work, step_work;
static struct seat hub, worker, dispatcher;

enum { SAY = 1, REFUSE, STEP, KEEP, UNHEARD, STATE, CALLS = STATE };

static void on_hub(void *user, const moorline_event *event) {
  (void)user;
  if (event->kind == MOORLINE_EVENT_READY) {
    snprintf(options, sizeof options, "{\"server_url\":\"http://%.*s\"}", (int)event->name.len,
             event->name.data);
    hub_is_ready = true;
  }
}

static void on_worker(void *user, const moorline_event *event) {
  const moorline_handle *handle = worker.handle;
  CHECK(user == &worker);
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      worker_is_ready = true;
      break;
    case MOORLINE_EVENT_WORK:
      if (is_text(event->name, "Echo/Say")) {
        CHECK_STATUS(MOORLINE_OK, moorline_complete_done(handle, event->id, event->payload.data,
                                                         event->payload.len, "[\"said\"]"));
      } else if (is_text(event->name, "Echo/Refuse")) {
        CHECK_STATUS(MOORLINE_OK, moorline_complete_failed(handle, event->id, "not today"));
      } else if (is_text(event->name, "Echo/Step")) {
        CHECK_STATUS(MOORLINE_OK, moorline_progress(handle, event->id, "{\"Percent\":50}", 14));
        step_work = event->id;
      } else {
        CHECK(is_text(event->name, "Echo/Keep"));
        kept_work = event->id;
        CHECK_STATUS(MOORLINE_OK, moorline_cancel(dispatcher.handle, KEEP));
      }
      break;
    case MOORLINE_EVENT_WORK_WITHDRAWN:
      CHECK(event->id == kept_work && event->status != MOORLINE_OK);
      CHECK_STATUS(MOORLINE_OK, moorline_complete_cancelled(handle, event->id));
      was_withdrawn = true;
      break;
    case MOORLINE_EVENT_ENDED:
      CHECK(event->status == MOORLINE_OK);
      worker_is_over = true;
      break;
    default:
      break;
  }
}

static void on_dispatcher(void *user, const moorline_event *event) {
  static unsigned settled, parts;
  CHECK(user == &dispatcher);
  if (event->kind == MOORLINE_EVENT_CALL_PART) {
    CHECK(event->id == STEP && has_text(event->payload, "50"));
    parts++;
    /* The item is still running: its progress came before its outcome. */
    CHECK_STATUS(MOORLINE_OK, moorline_complete_done(worker.handle, step_work, "7", 1, NULL));
    return;
  }
  if (event->kind != MOORLINE_EVENT_CALL_DONE) {
    return;
  }
  switch (event->id) {
    case SAY:
      CHECK(event->status == MOORLINE_OK);
      CHECK(has_text(event->payload, "\"Text\":\"h\xc3\xa9llo\""));
      CHECK(has_text(event->payload, "said"));
      break;
    case REFUSE:
      CHECK(event->status == MOORLINE_REMOTE_ERROR);
      CHECK(has_text(event->message, "not today"));
      break;
    case STEP:
      CHECK(event->status == MOORLINE_OK && parts == 1);
      CHECK(has_text(event->payload, "\"Result\":7"));
      break;
    case KEEP:
      CHECK(event->status == MOORLINE_CALL_CANCELLED);
      break;
    case UNHEARD:
      CHECK(event->status == MOORLINE_CALL_TIMEOUT);
      break;
    case STATE:
      CHECK(event->status == MOORLINE_OK && event->payload.data[0] == '{');
      break;
    default:
      CHECK(!"an unknown call");
  }
  all_settled = ++settled == CALLS;
}

static void call(uint64_t id, const char *name, const char *payload, const char *arguments) {
  CHECK_STATUS(MOORLINE_OK, moorline_call(dispatcher.handle, id, name, payload, strlen(payload),
                                          arguments));
}

static void count(void *user) {
  /* Runs on the driver's thread; the test reads the counter after moorline_free has joined. */
  ++*(unsigned *)user;
}

int main(void) {
  struct seat *all[] = {&hub, &worker, &dispatcher};
  unsigned rings = 0;

  take_seat(&hub, "beacon", "hub", "{\"listen\":\"127.0.0.1:0\"}", on_hub);
  CHECK_STATUS(MOORLINE_OK, moorline_start(hub.handle));
  serve(all, 1, &hub_is_ready);

  take_seat(&worker, "beacon", "worker", options, on_worker);
  CHECK_STATUS(MOORLINE_OK, moorline_handle_key(worker.handle, "Echo/Say", NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_handle_key(worker.handle, "Echo/Refuse",
                                                "{\"description\":\"Fails always.\"}"));
  CHECK_STATUS(MOORLINE_OK, moorline_handle_key(worker.handle, "Echo/Step", NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_handle_key(worker.handle, "Echo/Keep", NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_start(worker.handle));
  serve(all, 2, &worker_is_ready);

  take_seat(&dispatcher, "beacon", "dispatcher", options, on_dispatcher);
  CHECK_STATUS(MOORLINE_OK, moorline_set_callback(dispatcher.handle, count, &rings));
  CHECK_STATUS(MOORLINE_OK, moorline_start(dispatcher.handle));
  call(SAY, "Echo/Say", "{\"Text\":\"h\xc3\xa9llo\"}", NULL);
  call(REFUSE, "Echo/Refuse", "{}", NULL);
  call(STEP, "Echo/Step", "{}", "{\"stream\":true}");
  call(KEEP, "Echo/Keep", "{}", NULL);
  call(UNHEARD, "Nobody/Offers", "{}", "{\"timeout_ms\":200}");
  CHECK_STATUS(MOORLINE_OK, moorline_snapshot(dispatcher.handle, STATE));
  serve(all, 3, &all_settled);
  serve(all, 3, &was_withdrawn);

  CHECK_STATUS(MOORLINE_OK, moorline_stop(worker.handle, MOORLINE_DEFAULT_DRAIN_MS));
  serve(all, 3, &worker_is_over);
  CHECK_STATUS(MOORLINE_OK, moorline_free(dispatcher.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_free(worker.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_free(hub.handle));
  CHECK(rings > 0);
  puts("round trip: ok");
  return 0;
}
