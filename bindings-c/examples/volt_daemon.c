/* A VOLT daemon: two handlers, one of which streams, a command and a message of its own.
 *
 *   volt_daemon URL CLUSTER PASSWORD    serves a control plane until it is killed
 *   volt_daemon                         plays a hub's part too, in the same process, and ends
 */

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <moorline.h>

static bool ok(const char *what, moorline_status status) {
  if (status != MOORLINE_OK) {
    fprintf(stderr, "%s: %s: %s\n", what, moorline_error_name(status), moorline_last_error());
  }
  return status == MOORLINE_OK;
}

static bool equals(moorline_text text, const char *expected) {
  return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static bool contains(moorline_text text, const char *part) {
  size_t len = strlen(part);
  for (size_t at = 0; at + len <= text.len; at++) {
    if (memcmp(text.data + at, part, len) == 0) {
      return true;
    }
  }
  return false;
}

static bool submit(const moorline_handle *handle, const char *batch) {
  return ok("submit", moorline_submit(handle, batch, strlen(batch)));
}

/* Everything that the program keeps about one handle. */
struct session {
  moorline_handle *handle;
  int descriptor;
  bool is_done;
  char address[64]; /* of a hub */
};

static bool open_session(struct session *session, const char *dialect, const char *role,
                         const char *options) {
  memset(session, 0, sizeof *session);
  return ok(role, moorline_open(dialect, role, options, &session->handle)) &&
         ok(role, moorline_descriptor(session->handle, &session->descriptor));
}

/* The daemon. */

enum { BEAT = 1, PARTS = 3 };

static const char *const parts[PARTS] = {"bGluZSAxCg==", "bGluZSAyCg==", "bGluZSAzCg=="};
static uint64_t streaming; /* the command that is answered by a stream */
static unsigned sent;
static bool has_beaten, has_played;
static void look(void); /* whether all has been played */

/* Sends the next part, or the end. One at a time: the next goes out when the last has left. */
static void send_part(const moorline_handle *handle) {
  if (sent == PARTS) {
    ok("done", moorline_complete_done(handle, streaming, "{}", 2, NULL));
    streaming = 0;
    return;
  }
  char report[64];
  int len = snprintf(report, sizeof report, "{\"chunk\":\"%s\"}", parts[sent++]);
  ok("chunk", moorline_progress(handle, streaming, report, (size_t)len));
}

static void on_command(const moorline_handle *handle, const moorline_event *event) {
  if (equals(event->name, "jobs.run")) {
    /* The data of the answer; bytes in it travel beside the text, each in base64. */
    char batch[256];
    snprintf(batch, sizeof batch,
             "[[\"done\",%llu,{\"value\":{\"status\":202,\"data\":"
             "{\"started\":true,\"log\":{\"_placeholder\":true,\"num\":0}}},\"blobs\":[\"AAEC\"]}]]",
             (unsigned long long)event->id);
    submit(handle, batch);
  } else if (contains(event->json, "\"response_type\":\"stream\"") && streaming == 0) {
    const char *opening = "{\"open\":{\"headers\":{\"content-type\":\"text/plain\"}}}";
    streaming = event->id;
    sent = 0;
    ok("open", moorline_progress(handle, streaming, opening, strlen(opening)));
    send_part(handle);
  } else {
    const char *no = "{\"reject\":{\"status\":409,\"message\":\"one at a time, as a stream\"}}";
    ok("reject", moorline_complete_done(handle, event->id, no, strlen(no), NULL));
  }
}

static void on_daemon(void *user, const moorline_event *event) {
  struct session *daemon = user;
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      /* Each time the daemon is registered. */
      ok("call", moorline_call(daemon->handle, BEAT, "runtime.heartbeat", NULL, 0,
                               "{\"timeout_ms\":10000}"));
      submit(daemon->handle, "[[\"emit\",0,{\"name\":\"\",\"payload\":{\"type\":\"tunnel-data\","
                             "\"chunk\":{\"_placeholder\":true,\"num\":0}},\"blobs\":[\"AAEC\"]}]]");
      break;
    case MOORLINE_EVENT_WORK:
      on_command(daemon->handle, event);
      break;
    case MOORLINE_EVENT_WORK_DRAINED:
      if (event->id == streaming) {
        send_part(daemon->handle);
      }
      break;
    case MOORLINE_EVENT_WORK_WITHDRAWN:
      /* The connection that asked is gone; what would still be said is dropped. */
      if (event->id == streaming) {
        streaming = 0;
      }
      break;
    case MOORLINE_EVENT_CALL_DONE:
      /* Without credentials in its payload this one is refused. */
      printf("heartbeat: %s %.*s\n", moorline_error_name(event->status), (int)event->message.len,
             event->message.data);
      has_beaten = true;
      look();
      break;
    case MOORLINE_EVENT_NOTICE:
    case MOORLINE_EVENT_LOST:
      fprintf(stderr, "%s: %.*s\n", moorline_error_name(event->status), (int)event->message.len,
              event->message.data);
      break;
    case MOORLINE_EVENT_ENDED:
      daemon->is_done = true;
      break;
    default:
      break;
  }
}

static bool start_daemon(struct session *daemon, const char *url, const char *cluster,
                         const char *password) {
  char options[512];
  snprintf(options, sizeof options,
           "{\"control_socket_url\":\"%s\",\"team_cluster_id\":\"%s\",\"daemon_password\":\"%s\","
           "\"heartbeat\":{\"include_credentials\":true},\"register_with_ack\":true}",
           url, cluster, password);
  return open_session(daemon, "volt", "daemon", options) &&
         ok("handle", moorline_handle_key(daemon->handle, "jobs.run", NULL)) &&
         ok("handle", moorline_handle_key(daemon->handle, "logs.follow", NULL)) &&
         ok("start", moorline_start(daemon->handle));
}

static bool serve(struct session **sessions, moorline_on_event *on_event, nfds_t count,
                  const bool *until) {
  struct pollfd waiting[2];
  for (nfds_t i = 0; i < count; i++) {
    waiting[i].fd = sessions[i]->descriptor;
    waiting[i].events = POLLIN;
  }
  while (!*until && poll(waiting, count, 30000) >= 0) {
    for (nfds_t i = 0; i < count; i++) {
      if (waiting[i].revents != 0 &&
          !ok("drain", moorline_drain(sessions[i]->handle, on_event[i], sessions[i], NULL))) {
        return false;
      }
    }
  }
  return *until;
}

/* The control plane's part. */

enum { RUN = 1, FOLLOW, REFUSED, CALLS = REFUSED };

static unsigned settled, streamed;
static bool has_heard, is_as_expected = true;

static void look(void) { has_played = settled == CALLS && has_heard && has_beaten; }

static void expect(bool condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "not as expected: %s\n", what);
    is_as_expected = false;
  }
}

static void on_hub(void *user, const moorline_event *event) {
  struct session *hub = user;
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      snprintf(hub->address, sizeof hub->address, "%.*s", (int)event->name.len, event->name.data);
      hub->is_done = true;
      break;
    case MOORLINE_EVENT_MESSAGE:
      expect(contains(event->json, "\"blobs\":[\"AAEC\"]"), "the message's bytes");
      has_heard = true;
      break;
    case MOORLINE_EVENT_CALL_PART:
      streamed++;
      break;
    case MOORLINE_EVENT_CALL_DONE:
      if (event->id == RUN) {
        expect(event->status == MOORLINE_OK && contains(event->payload, "\"started\":true") &&
                   contains(event->json, "\"blobs\":[\"AAEC\"]"),
               "the answer's bytes");
      } else if (event->id == FOLLOW) {
        expect(event->status == MOORLINE_OK && streamed >= PARTS, "the stream");
      } else {
        expect(event->status == MOORLINE_REMOTE_ERROR && contains(event->json, "\"status\":409"),
               "the rejection");
      }
      settled++;
      break;
    default:
      break;
  }
  look();
}

static bool play_both_parts(void) {
  struct session hub, daemon;
  struct session *sessions[] = {&hub, &daemon};
  moorline_on_event on_event[] = {on_hub, on_daemon};
  const char *to = "\"team_cluster_id\":\"cluster-abc123\"";
  char text[512];

  if (!open_session(&hub, "beacon", "hub",
                    "{\"listen\":\"127.0.0.1:0\",\"volt\":{\"daemons\":"
                    "[{\"team_cluster_id\":\"cluster-abc123\",\"password\":\"secret\"}]}}") ||
      !ok("listen to messages", moorline_handle_key(hub.handle, "*", NULL)) ||
      !ok("start", moorline_start(hub.handle)) || !serve(sessions, on_event, 1, &hub.is_done)) {
    return false;
  }
  snprintf(text, sizeof text, "http://%s", hub.address);
  if (!start_daemon(&daemon, text, "cluster-abc123", "secret")) {
    return false;
  }
  /* A hub waits for a daemon that is not registered yet. */
  snprintf(text, sizeof text,
           "[[\"call\",%d,{\"name\":\"jobs.run\",\"payload\":{},\"options\":{%s}}],"
           "[\"call\",%d,{\"name\":\"logs.follow\",\"options\":{%s,\"response_type\":\"stream\","
           "\"stream\":true}}],"
           "[\"call\",%d,{\"name\":\"logs.follow\",\"options\":{%s}}]]",
           RUN, to, FOLLOW, to, REFUSED, to);
  if (!submit(hub.handle, text) || !serve(sessions, on_event, 2, &has_played) ||
      !ok("stop", moorline_stop(daemon.handle, MOORLINE_DEFAULT_DRAIN_MS))) {
    return false;
  }
  struct session *last = &daemon;
  moorline_on_event on_last = on_daemon;
  return serve(&last, &on_last, 1, &daemon.is_done) && ok("free", moorline_free(daemon.handle)) &&
         ok("free", moorline_free(hub.handle)) && is_as_expected;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    return play_both_parts() ? 0 : 1;
  }
  struct session daemon, *session = &daemon;
  moorline_on_event on_event = on_daemon;
  return start_daemon(&daemon, argv[1], argv[2], argv[3]) &&
                 serve(&session, &on_event, 1, &daemon.is_done)
             ? 0
             : 1;
}
