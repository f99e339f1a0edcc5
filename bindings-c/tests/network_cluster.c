/* A provider and its consumers of network-cluster in one process and one thread, over real sockets. */

#include <inttypes.h>

#include "check.h"

static char port[8];
static bool listens, is_over, is_closed, is_refused;
static unsigned heard, settled;
static struct seat provider, consumer;

static void on_provider(void *user, const moorline_event *event) {
  CHECK(user == &provider);
  switch (event->kind) {
    case MOORLINE_EVENT_READY: {
      size_t at = event->name.len;
      while (at > 0 && event->name.data[at - 1] != ':') {
        at--;
      }
      snprintf(port, sizeof port, "%.*s", (int)(event->name.len - at), event->name.data + at);
      listens = true;
      break;
    }
    case MOORLINE_EVENT_ADMISSION_ASKED:
      CHECK(has_text(event->json, "{\"name\":\"user\",\"value\":\"a b\"}"));
      submit(&provider, "[[\"admit\",%" PRIu64 ",null]]", event->id);
      break;
    case MOORLINE_EVENT_PEER_JOINED:
      CHECK(has_text(event->json, "\"ip\":\"127.0.0.1\""));
      /* What precedes the greeting precedes the announcement of the heartbeat. */
      submit(&provider,
             "[[\"send\",0,{\"peer\":%" PRIu64 ",\"text\":\"first\"}],[\"greet\",%" PRIu64 ",null]]",
             event->id, event->id);
      break;
    case MOORLINE_EVENT_RECEIVED:
      if (has_text(event->json, "\"text\":\"hello\"")) {
        submit(&provider, "[[\"send\",0,{\"peer\":%" PRIu64 ",\"bytes\":\"AP+A\"}]]", event->id);
      } else {
        CHECK(has_text(event->json, "\"bytes\":\"AP+A\""));
        submit(&provider, "[[\"end\",%" PRIu64 ",{\"code\":4001,\"reason\":\"over\"}]]", event->id);
      }
      break;
    case MOORLINE_EVENT_CLOSED:
      CHECK(has_text(event->json, "\"code\":4001"));
      is_closed = true;
      break;
    default:
      break;
  }
}

static void on_consumer(void *user, const moorline_event *event) {
  CHECK(user == &consumer);
  switch (event->kind) {
    case MOORLINE_EVENT_READY:
      submit(&consumer, "[[\"send\",1,{\"text\":\"hello\"}],[\"send\",2,{\"text\":\"PONG\"}]]");
      break;
    case MOORLINE_EVENT_CALL_DONE:
      settled++;
      if (event->id == 1) {
        CHECK(event->status == MOORLINE_OK && is_text(event->payload, "\"sent\""));
      } else {
        CHECK(event->id == 2 && event->status == MOORLINE_ARGUMENT_INVALID);
      }
      break;
    case MOORLINE_EVENT_RECEIVED:
      heard++;
      if (heard == 1) {
        CHECK(has_text(event->json, "\"text\":\"first\""));
      } else {
        CHECK(has_text(event->json, "\"bytes\":\"AP+A\""));
        submit(&consumer, "[[\"send\",0,{\"bytes\":\"AP+A\"}]]");
      }
      break;
    case MOORLINE_EVENT_CLOSED:
      CHECK(is_text(event->message, "over") && has_text(event->json, "\"code\":4001"));
      break;
    case MOORLINE_EVENT_ENDED:
      CHECK(event->status != MOORLINE_OK);
      is_over = true;
      break;
    default:
      break;
  }
}

static void on_stranger(void *user, const moorline_event *event) {
  (void)user;
  if (event->kind == MOORLINE_EVENT_ENDED) {
    CHECK(event->status == MOORLINE_AUTHENTICATION_FAILED);
    is_refused = true;
  }
}

int main(void) {
  struct seat stranger;
  struct seat *all[] = {&provider, &consumer, &stranger};
  char options[256];

  take_seat(&provider, "netcluster", "provider",
            "{\"port\":0,\"auth\":{\"parameters\":[{\"name\":\"key\",\"value\":\"SECRET\"}],"
            "\"asks\":true},\"heartbeat\":{\"awaits_greet\":true}}",
            on_provider);
  CHECK_STATUS(MOORLINE_OK, moorline_start(provider.handle));
  serve(all, 1, &listens);

  snprintf(options, sizeof options,
           "{\"host\":\"127.0.0.1\",\"port\":%s,\"reconnect_enabled\":false,\"parameters\":"
           "[{\"name\":\"key\",\"value\":\"SECRET\"},{\"name\":\"user\",\"value\":\"a b\"}]}",
           port);
  take_seat(&consumer, "netcluster", "consumer", options, on_consumer);
  CHECK_STATUS(MOORLINE_OK, moorline_start(consumer.handle));
  serve(all, 2, &is_over);
  serve(all, 2, &is_closed);
  CHECK(heard == 2 && settled == 2);

  snprintf(options, sizeof options, "{\"host\":\"127.0.0.1\",\"port\":%s}", port);
  take_seat(&stranger, "netcluster", "consumer", options, on_stranger);
  CHECK_STATUS(MOORLINE_OK, moorline_start(stranger.handle));
  serve(all, 3, &is_refused);

  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    CHECK_STATUS(MOORLINE_OK, moorline_free(all[i]->handle));
  }
  puts("network-cluster: ok");
  return 0;
}
