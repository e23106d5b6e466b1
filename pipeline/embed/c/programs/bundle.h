/* The files of a bundle, of which none is used whose digest does not match. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* manifest.json of the bundle in a folder. */
cJSON *open_manifest(const char *folder);

/* A JSON file of the bundle, which the manifest vouches for. */
cJSON *read_listed(const char *folder, const cJSON *manifest, const char *name);

/* The state of the model, of which a manifest of any format has one. */
const cJSON *state_pair(const cJSON *manifest);

/* The name of the tensor on a side, "inputs" or "outputs", that is not the state of that name. */
const char *name_of(const cJSON *manifest, const char *side, const char *state);

/* What stands in an object under a key; there is no way back if nothing does. */
const cJSON *member(const cJSON *object, const char *key);
const cJSON *list(const cJSON *object, const char *key);
double number(const cJSON *object, const char *key);
const char *string(const cJSON *object, const char *key);

/* The numbers of a tensor, which must have that shape; 0 stands for any size but 0, and becomes
   the size that was found. To be freed. */
double *tensor(const cJSON *object, const char *key, size_t *shape, size_t axes);

#endif
