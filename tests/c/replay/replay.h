// What the parts of the replay share: a golden log is read with jansson, and played through the C ABI as a host in C would.
#ifndef EPODE_REPLAY_H
#define EPODE_REPLAY_H

#include <stdnoreturn.h>

#include <epode.h>
#include <jansson.h>

// Where the replay is, for messages.
extern const char *log_path;
extern size_t log_line;

// Says why this log cannot be played, or came out otherwise, and ends the program with a failure.
noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
// `value` if there is one; otherwise the log lacks `name`.
json_t *need(json_t *value, const char *name);
// A member that has to be there.
json_t *member(json_t *object, const char *name);
// The only member of an object, or a text that stands alone: how the log writes a variant. Its fields are NULL for a text.
const char *variant(json_t *value, json_t **fields);
// Dies if the object has a member that is not in the list, which NULL ends: a replay that leaves something out proves nothing.
void only(json_t *object, const char *const names[]);
// The place of a text in a list that NULL ends.
uint32_t place(const char *text, const char *const names[]);

// A text; null and what is missing are none. Borrowed from the JSON.
epode_slice text_of(json_t *value);
uint64_t number_of(json_t *value);
bool flag_of(json_t *value);
// EPODE_UNKNOWN, EPODE_NO or EPODE_YES.
uint32_t known_of(json_t *value);
// {"text": ..} or {"base64": ..}; null and what is missing are none. Lives until `let_go`.
epode_slice bytes_of(json_t *value);
void let_go(void);
// The other way round.
json_t *as_bytes(epode_slice bytes);

// The client that the first line of a log describes.
epode_client *new_client(json_t *header);
// The account of that client, for later credentials.
extern char log_account[3072];
// Sets the credentials of a log.
void set_credentials(epode_config *into, json_t *value);
// Keeps the derivation that epode_next gave last, for its `derived`.
void keep_derivation(epode_client *client, uint64_t job);
void forget_derivations(void);
// Hands one input in; what the library said.
uint32_t play(epode_client *client, uint64_t now, json_t *input);
// One output as the log writes it, but that reasons and warnings are reduced to their numbers.
json_t *as_entry(const epode_output *output);
// The log's own entry, reduced in the same way. A new reference.
json_t *reduced(json_t *entry);
// Whether both are the same, but for the spans that the log hides.
bool same(json_t *expected, json_t *got);

// What a log hides follows from a password that is made up, on both sides: `hidden.c`.
void hidden_begin(json_t *header);
// Follows what was really written.
void hidden_written(const char *text);
// The bytes that the server said, with the proofs that it has to give. A new text, or NULL if nothing is hidden in it.
char *hidden_received(const char *text);
void hidden_binding(json_t *info);
// The made-up password.
extern const char hidden_password[];
// Whether a placeholder begins there, as `*client-proof****`; how long it is.
size_t placeholder(const char *text);

#endif
