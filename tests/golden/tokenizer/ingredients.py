"""Writes ingredients.json: the lists that the strings of strings.py (and of tests/model/tokenizer_strings.cc)
are put together from."""

import json

points = [0x9, 0xA, 0xB, 0xC, 0xD, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x180E, 0x2003, 0x200A, 0x200B, 0x2028,
          0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]
digits = "٠٣۹०९৪๕៩០᠀０９𝟘𝟡𝟶🯰🯹²³¹₀₉½¾⅓↉ⅠⅫⅿ①⑳⒈㉈〇一二三万億㊀𐄇𒐀𑁒𞥐𖩠౸௰፩𐹠"
marks = "\u0300\u0301\u0302\u0303\u0304\u0307\u0308\u030a\u0323\u0327\u0328\u0331\u0334\u0338\u0340\u0345\u035c\u0591" \
        "\u05b0\u064b\u0651\u093c\u094d\u09bc\u0e38\u0e48\u0f71\u0f72\u1ab0\u1dca\u1dfe\u20d0\u3099\u309a\ufe20" \
        "\U0001d165\U0001d16d\U0001e2ec\U00011930\U00011938\U000113b8\U00010efd\u0898\u08ca"
bases = "aeinostuyAEOzçÅΩıſİßŒĳǆ가ᄀᆨㄱかがハ한क๐ᾼﬁﬃ①㍿㌀ﷺ豈\u1100\u1161\u11a8\u0915\u09c7\u0b47\u1025\U00011935\U00011131" \
        "\U0001d157\U0001d15e\U000105d2"
emoji = ["😀", "👩‍👩‍👧‍👦", "👨🏽‍🚀", "🏳️‍🌈", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇫🇷", "🇺🇸🇩🇪", "1️⃣", "#️⃣", "❤️‍🔥", "🤷🏻‍♀️", "👍🏿", "☺️", "🧑‍🤝‍🧑", "🫠", "🫨", "\u200d",
         "\ufe0f", "👁️‍🗨️", "🐻‍❄️"]
code = ["for (int i = 0; i < n; ++i) {\n\treturn x[i] * 2.5e-3f;\n}", "def f(x, *args):\n    return [y**2 for y in args]\n",
        "#include <vector>\r\n", "SELECT * FROM t WHERE a >= 'b''c';", "<div class=\"a-b\">&nbsp;</div>", "a&&b||!c",
        "0xDEADBEEF", "3.14159", "1,234,567.89", "https://example.org/a?b=c&d=%20e#f", "C:\\dir\\file.txt", "${HOME}/.x",
        "fn main() -> Result<(), E> { Ok(()) }", "\\frac{a}{b}^{2}_{i}", "    \n        \n\t\t}", "// --- *** ---", "x_y_zAbC",
        "user@host.com", "2024-01-31T12:34:56Z", "+1 (555) 010-9999"]
contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'vE", "'M", "'LL", "'D", "’s", "'ſ", "'x",
                "don't", "I'LL", "we've", "o'clock", "''s", " 's"]
specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<empty_output>", "<|padding|>",
            "|||IP_ADDRESS|||", "<|begin_of_text|>", "<|end_of_text|>", "<|endoftext", "<|im_start", "<<|im_end|>>",
            "<|IM_END|>", "|||ip_address|||", "<mask>", " <mask> ", "LEFT", "x RIGHT  y", "Single", "aSingleb", "single",
            "Ｓｉｎｇｌｅ", "ÉtÉ", "<s>", "</s>", "Ġthe", "[UNK]"]
words = ["the", "of", "and", "to", "in", "a", "is", "was", "for", "model", "quantization", "language", "return", "self",
         "number", "string", "Paris", "World", "naïve", "café", "Straße", "façade", "smörgåsbord", "über", "привет", "мир",
         "Ελλάδα", "γλώσσα", "שלום", "مرحبا", "नमस्ते", "ภาษาไทย", "日本語", "中文字符", "한국어", "Việt", "İstanbul", "ǅ", "ﬃ", "zyxwv",
         "zyxwvut", "ABCdef", "iPhone15", "x86_64", "COVID-19"]
breaks = ["\n", "\r\n", "\n\n", "\n \n", "  \n\t", "\r", "\n\n\n  ", " \n", "\t", "   ", "\u00a0 ", "\n\r\n"]
lists = dict(spaces=list(map(chr, points)), digits=list(digits), marks=list(marks), bases=list(bases), emoji=emoji, code=code,
             contractions=contractions, specials=specials, words=words, breaks=breaks)
with open("ingredients.json", "w") as out:
    json.dump(lists, out, indent=0)
    out.write("\n")
