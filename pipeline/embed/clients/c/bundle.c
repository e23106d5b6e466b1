/* The files of a bundle, of which none is used whose digest does not match. */
#include "bundle.h"
#include "fail.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 }; /* of manifest.json and golden.json */

static unsigned char *read_file(const char *folder, const char *name, size_t *size) {
    char path[4096];
    unsigned char *content = NULL;
    size_t room = 0, got;
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL)
        fail(MALFORMED, "cannot read %s; name the bundle's folder with --model", path);
    *size = 0;
    do {
        room = 2 * room + 65536;
        content = realloc(content, room);
        if (content == NULL)
            fail(MALFORMED, "%s does not fit into memory", path);
        got = fread(content + *size, 1, room - *size, file);
        *size += got;
    } while (*size == room);
    if (ferror(file))
        fail(MALFORMED, "cannot read %s; name the bundle's folder with --model", path);
    fclose(file);
    return content;
}

static cJSON *parse(const char *name, const unsigned char *content, size_t size) {
    cJSON *json = cJSON_ParseWithLength((const char *)content, size);
    double format;
    if (!cJSON_IsObject(json))
        fail(MALFORMED, "%s is not JSON; export it anew", name);
    format = number(json, "format");
    if (format > FORMAT)
        fail(MALFORMED, "%s has format %g; this program reads %d; update it", name, format, FORMAT);
    return json;
}

cJSON *open_manifest(const char *folder) {
    size_t size;
    unsigned char *content = read_file(folder, "manifest.json", &size);
    cJSON *manifest = parse("manifest.json", content, size);
    free(content);
    return manifest;
}

cJSON *read_listed(const char *folder, const cJSON *manifest, const char *name) {
    const cJSON *entry = member(member(manifest, "files"), name);
    unsigned char digest[SHA256_DIGEST_LENGTH], *content;
    char hex[2 * SHA256_DIGEST_LENGTH + 1];
    size_t size, k;
    cJSON *json;
    content = read_file(folder, name, &size);
    SHA256(content, size, digest);
    for (k = 0; k < sizeof digest; k++)
        snprintf(hex + 2 * k, 3, "%02x", digest[k]);
    if (number(entry, "bytes") != (double)size || strcmp(string(entry, "sha256"), hex) != 0)
        fail(CHANGED, "%s/%s was changed after its export; export it anew", folder, name);
    json = parse(name, content, size);
    free(content);
    return json;
}

const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (value == NULL)
        fail(MALFORMED, "'%s' is missing in manifest.json or golden.json; export it anew", key);
    return value;
}

const cJSON *list(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) == 0)
        fail(MALFORMED, "'%s' is no list in golden.json, or empty; export it anew", key);
    return value;
}

double number(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsNumber(value))
        fail(MALFORMED, "'%s' is no number in manifest.json or golden.json; export it anew", key);
    return value->valuedouble;
}

const char *string(const cJSON *object, const char *key) {
    const cJSON *value = member(object, key);
    if (!cJSON_IsString(value))
        fail(MALFORMED, "'%s' is no string in manifest.json or golden.json; export it anew", key);
    return value->valuestring;
}

double *tensor(const cJSON *object, const char *key, size_t *shape, size_t axes) {
    const cJSON *value = member(object, key), *data = member(value, "data"), *item;
    size_t size = 1, axis = 0;
    double *numbers, *next;
    cJSON_ArrayForEach(item, member(value, "shape")) {
        double found = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (axis == axes || found < 1 || found > 1e9 || (shape[axis] && found != shape[axis]))
            break;
        shape[axis] = (size_t)found;
        size *= shape[axis++];
    }
    if (item != NULL || axis < axes || (size_t)cJSON_GetArraySize(data) != size)
        fail(MALFORMED,
             "golden.json: the shape or size of '%s' does not fit "
             "the model; export it anew",
             key);
    next = numbers = malloc(size * sizeof *numbers);
    if (numbers == NULL)
        fail(MALFORMED, "golden.json: '%s' does not fit into memory", key);
    cJSON_ArrayForEach(item, data) {
        if (!cJSON_IsNumber(item))
            fail(MALFORMED, "golden.json: '%s' has a value that is no number; export it anew", key);
        *next++ = item->valuedouble;
    }
    return numbers;
}
