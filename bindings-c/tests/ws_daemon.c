/* A server and a client of ws-daemon in one process and one thread, over real sockets. */

#include "check.h"

static char options[256];
static bool listens, is_connected, all_settled, is_told, is_over;
static unsigned settled;
static struct seat server, client;

enum { GREET = 1, UNKNOWN, ORDER, CALLS = ORDER };

static void on_server(void *user, const moorline_event *event) {
  CHECK(user == &server);
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      snprintf(options, sizeof options, "{\"server_url\":\"ws://%.*s\"}", (int)event->name.len,
               event->name.data);
      listens = true;
      break;
    case MOORLINE_EVENT_WORK:
      CHECK(is_text(event->name, "greet") && is_text(event->payload, "{\"name\":\"Ada\"}"));
      CHECK_STATUS(MOORLINE_OK, moorline_complete_done(server.handle, event->id, "3", 1, NULL));
      break;
    case MOORLINE_EVENT_MESSAGE:
      CHECK(is_text(event->payload, "{\"free\":true}"));
      is_told = true;
      break;
    default:
      break;
  }
}

static void on_client(void *user, const moorline_event *event) {
  CHECK(user == &client);
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      is_connected = true;
      break;
    case MOORLINE_EVENT_CALL_DONE:
      if (event->id == GREET) {
        CHECK(event->status == MOORLINE_OK && has_text(event->payload, "\"status\":3,"));
      } else if (event->id == UNKNOWN) {
        CHECK(event->status == MOORLINE_OK && has_text(event->payload, "\"status\":-1,"));
      } else {
        CHECK(event->id == ORDER && event->status == MOORLINE_ARGUMENT_INVALID);
      }
      all_settled = ++settled == CALLS;
      break;
    case MOORLINE_EVENT_ENDED:
      CHECK(event->status == MOORLINE_OK);
      is_over = true;
      break;
    default:
      break;
  }
}

int main(void) {
  struct seat *all[] = {&server, &client};
  const char *params = "{\"name\":\"Ada\"}";
  const char *status = "{\"code\":\"STATUS\",\"data\":{\"free\":true}}";

  take_seat(&server, "wsdaemon", "daemon", "{\"mode\":\"server\",\"listen\":\"127.0.0.1:0\"}", on_server);
  CHECK_STATUS(MOORLINE_OK, moorline_handle_key(server.handle, "greet", NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_start(server.handle));
  serve(all, 1, &listens);

  take_seat(&client, "wsdaemon", "daemon", options, on_client);
  CHECK_STATUS(MOORLINE_OK, moorline_start(client.handle));
  /* Kept until the client is connected. */
  CHECK_STATUS(MOORLINE_OK,
               moorline_call(client.handle, GREET, "greet", params, strlen(params), NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_call(client.handle, UNKNOWN, "unknown", NULL, 0, NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_call(client.handle, ORDER, "&cmd", status, strlen(status), NULL));
  CHECK_STATUS(MOORLINE_OK, moorline_emit(client.handle, "&cmd", status, strlen(status)));
  serve(all, 2, &all_settled);
  serve(all, 2, &is_told);
  CHECK(is_connected);

  CHECK_STATUS(MOORLINE_OK, moorline_stop(client.handle, MOORLINE_DEFAULT_DRAIN_MS));
  serve(all, 2, &is_over);
  CHECK_STATUS(MOORLINE_OK, moorline_free(client.handle));
  CHECK_STATUS(MOORLINE_OK, moorline_free(server.handle));
  puts("ws-daemon: ok");
  return 0;
}
