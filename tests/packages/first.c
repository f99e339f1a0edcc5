/* A hub, a worker and a dispatcher in one program, which says what it was answered. */

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <moorline.h>

static moorline_handle *hub, *worker, *dispatcher;
static char options[128];
static bool is_answered;

static void must(moorline_status status) {
  if (status != MOORLINE_OK) {
    fprintf(stderr, "%s: %s\n", moorline_error_name(status), moorline_last_error());
    exit(1);
  }
}

static void on_event(void *user, const moorline_event *event) {
  if (event->kind == MOORLINE_EVENT_READY && user == &hub) {
    snprintf(options, sizeof options, "{\"server_url\":\"http://%.*s\"}", (int)event->name.len, event->name.data);
    must(moorline_open("beacon", "worker", options, &worker));
    must(moorline_handle_key(worker, "Echo/Say", NULL));
    must(moorline_start(worker));
  } else if (event->kind == MOORLINE_EVENT_READY && user == &worker) {
    must(moorline_open("beacon", "dispatcher", options, &dispatcher));
    must(moorline_start(dispatcher));
    must(moorline_call(dispatcher, 1, "Echo/Say", "{\"Text\":\"hello\"}", 16, NULL));
  } else if (event->kind == MOORLINE_EVENT_WORK) {
    must(moorline_complete_done(worker, event->id, event->payload.data, event->payload.len, NULL));
  } else if (event->kind == MOORLINE_EVENT_CALL_DONE) {
    must(event->status);
    is_answered = strstr(event->payload.data, "\"Text\":\"hello\"") != NULL;
    puts(is_answered ? "hello" : "another answer");
    is_answered = true;
  }
}

int main(void) {
  moorline_handle **all[] = {&hub, &worker, &dispatcher};
  must(moorline_open("beacon", "hub", "{\"listen\":\"127.0.0.1:0\"}", &hub));
  must(moorline_start(hub));
  while (!is_answered) {
    struct pollfd descriptors[3];
    nfds_t count = 0;
    while (count < 3 && *all[count] != NULL) {
      int descriptor;
      must(moorline_descriptor(*all[count], &descriptor));
      descriptors[count++] = (struct pollfd){.fd = descriptor, .events = POLLIN};
    }
    if (poll(descriptors, count, 30000) <= 0) return 1;
    for (nfds_t i = 0; i < count; i++) must(moorline_drain(*all[i], on_event, all[i], NULL));
  }
  must(moorline_free(dispatcher));
  must(moorline_free(worker));
  must(moorline_free(hub));
  return 0;
}
