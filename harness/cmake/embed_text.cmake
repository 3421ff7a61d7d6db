# cmake -DSOURCE=schema.sql -DSYMBOL=kSchemaSql -DHEADER=harness/store/schema.h -DOUT=schema.cc -P embed_text.cmake
# writes a source that defines SYMBOL, in namespace harness, as the text of SOURCE.
file(READ "${SOURCE}" text)
get_filename_component(name "${SOURCE}" NAME)
file(WRITE "${OUT}" "// Generated from ${name}.\n#include \"${HEADER}\"\n
namespace harness {
const char* const ${SYMBOL} = R\"embedded(${text})embedded\";
}  // namespace harness
")
