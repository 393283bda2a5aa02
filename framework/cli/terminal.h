/* What the commands know of the terminal they write to. */
#pragma once

/* Columns of stdout: as wide as the terminal, within what a table needs and an eye can follow. */
int hl_text_columns(void);
