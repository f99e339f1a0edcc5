/* The executor for C. See README.md. */

#include <moorline.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of builds for tests alone. */
typedef struct moorline_scripted moorline_scripted;
moorline_status moorline_scripted_open(const char *first, moorline_handle **handle, moorline_scripted **script);
moorline_status moorline_scripted_begin(const moorline_scripted *script, const char *line, bool *command);
moorline_status moorline_scripted_end(moorline_scripted *script, moorline_text *said);
void moorline_scripted_free(moorline_scripted *script);

static void must(moorline_status status) {
  if (status == MOORLINE_OK) return;
  fprintf(stderr, "%s: %s\n", moorline_error_name(status), moorline_last_error());
  fflush(stdout);
  exit(1);
}

static void on_event(void *user, const moorline_event *event) {
  (void)user;
  printf("{\"out\":{\"kind\":\"event\",\"event\":%.*s}}\n", (int)event->json.len, event->json.data);
}

/* Gives the command of a line: by its function where that takes no JSON, else as a turn of its own. */
static void give(const moorline_handle *handle, char *line) {
  char *batch = strstr(line, "\"command\":[") + strlen("\"command\":") - 1;
  char name[16];
  unsigned long long id, drain_ms;
  if (sscanf(batch + 1, "[\"%15[a-z]\",%llu", name, &id) != 2) abort();
  if (strcmp(name, "start") == 0) {
    must(moorline_start(handle));
  } else if (sscanf(batch + 1, "[\"stop\",0,{\"drain_ms\":%llu", &drain_ms) == 1) {
    must(moorline_stop(handle, drain_ms));
  } else if (strcmp(name, "cancel") == 0) {
    must(moorline_cancel(handle, id));
  } else if (strcmp(name, "snapshot") == 0) {
    must(moorline_snapshot(handle, id));
  } else if (strcmp(name, "cancelled") == 0) {
    must(moorline_complete_cancelled(handle, id));
  } else {
    /* The braces around the line become the brackets of a batch. */
    size_t len = strlen(batch);
    batch[0] = '[';
    batch[len - 1] = ']';
    must(moorline_submit(handle, batch, len));
  }
}

/* Ends a turn: actions, then events as the descriptor and the queue have them, then the deadline. */
static void end(const moorline_handle *handle, moorline_scripted *script) {
  static const char EVENT[] = "{\"out\":{\"kind\":\"event\",";
  moorline_text said;
  must(moorline_scripted_end(script, &said));
  const char *line = said.data, *last = said.data + said.len;
  const char *turn = last - 1;
  while (turn > said.data && turn[-1] != '\n') turn--;
  for (; line < turn && strncmp(line, EVENT, sizeof EVENT - 1) != 0; line++) {
    const char *next = memchr(line, '\n', (size_t)(last - line));
    fwrite(line, 1, (size_t)(next - line) + 1, stdout);
    line = next;
  }
  if (line < turn) {
    struct pollfd bell = {.events = POLLIN};
    bool more = true;
    must(moorline_descriptor(handle, &bell.fd));
    if (poll(&bell, 1, 10000) != 1) abort();
    while (more) must(moorline_drain(handle, on_event, NULL, &more));
  }
  fwrite(turn, 1, (size_t)(last - turn), stdout);
}

int main(void) {
  static const char FIRST[] = "{\"trace\":";
  moorline_handle *handle = NULL;
  moorline_scripted *script = NULL;
  char *line = NULL;
  size_t capacity = 0;
  ssize_t len;
  while ((len = getline(&line, &capacity, stdin)) > 0) {
    bool command = false;
    if (line[len - 1] == '\n') line[len - 1] = '\0';
    if (strncmp(line, FIRST, sizeof FIRST - 1) == 0) {
      must(moorline_free(handle));
      moorline_scripted_free(script);
      must(moorline_scripted_open(line, &handle, &script));
    } else {
      must(moorline_scripted_begin(script, line, &command));
      if (command) give(handle, line);
    }
    end(handle, script);
  }
  must(moorline_free(handle));
  moorline_scripted_free(script);
  free(line);
  return 0;
}
