#pragma once

/* The content type that a file's name suggests; "application/octet-stream" when it suggests none. */
const char *mime_of(const char *path);
