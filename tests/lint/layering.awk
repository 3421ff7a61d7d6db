# Reads C++ sources, named by their paths from the root; prints every #include that breaks the layering:
#   app -> run -> plugin -> {data, quant} -> model -> kernels -> core
#   app -> {report -> store -> core, train -> {data, model}};  run -> {store, train}
# Methods and evals know plugin and what is under it, never each other.
BEGIN {
  below["core"] = ""
  below["kernels"] = "core"
  below["model"] = "kernels core"
  below["quant"] = "model kernels core"
  below["data"] = "model kernels core"
  below["plugin"] = "quant data model kernels core"
  below["train"] = "data model kernels core"
  below["store"] = "core"
  below["report"] = "store core"
  below["run"] = "plugin quant data model kernels train store core"
  below["app"] = "run plugin quant data model kernels train report store core"
  plugin_folder_below = "plugin quant data model kernels core"
  without_torch = " core store report data "
}

# The room of a path: core for harness/core/..., methods/rtn for methods/rtn/...; empty outside of all.
function room_of(path,   part) {
  if (split(path, part, "/") < 3) return ""
  if (part[1] == "harness") return part[2]
  if (part[1] == "methods" || part[1] == "evals") return part[1] "/" part[2]
  return ""
}

function finding(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }

FNR == 1 {
  room = room_of(FILENAME)
  known = room ~ /\// || room in below
  allowed = " " room " " (room ~ /\// ? plugin_folder_below : below[room]) " "
  is_header = FILENAME ~ /\.(h|cuh)$/
  if (!known) finding("the room \"" room "\" has no place in the layering (tests/lint/layering.awk)")
}

!known || !/^[ \t]*#[ \t]*include[ \t]*["<]/ { next }

{
  included = $0
  sub(/^[ \t]*#[ \t]*include[ \t]*/, "", included)
  quoted = substr(included, 1, 1) == "\""
  included = substr(included, 2)
  sub(/[">].*/, "", included)
}

quoted {
  target = room_of(included)
  if (target == "") finding("\"" included "\" is not included from the root")
  else if (!index(allowed, " " target " ")) finding(room " may not include " target " (\"" included "\")")
  next
}

included ~ /^(ATen|c10|torch)\// {
  if (index(without_torch, " " room " ") || FILENAME ~ /\.cuh?$/)
    finding("no torch here (<" included ">)")
  else if (included == "torch/torch.h")
    finding("<torch/torch.h> costs 19 s and 1.1 GB to parse: include what is used")
  else if (is_header && included != "ATen/core/Tensor.h" && included !~ /^c10\/core\//)
    finding("of torch, a header includes only <ATen/core/Tensor.h> and <c10/core/...> (<" included ">)")
}

included == "sqlite3.h" && room != "store" { finding("only store includes <sqlite3.h>") }
