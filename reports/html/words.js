/* Words of memory as the data type reads them, and as the kernels' wait does (kernels/layout.h). */

const FORMATS = {
    bf16: [8, 7],
    fp16: [5, 10],
    fp32: [8, 23]
};

function decodeElement(dtype, bits) {
    const [exponentBits, fractionBits] = FORMATS[dtype];
    const width = 1 + exponentBits + fractionBits;
    const digits = bits.toString(2).padStart(width, "0");
    const exponent = parseInt(digits.slice(1, 1 + exponentBits), 2);
    const fraction = parseInt(digits.slice(1 + exponentBits), 2);
    const most = 2 ** exponentBits - 1, bias = (most - 1) / 2, sign = digits[0] === "1" ? "-" : "";
    let text;
    if (exponent === most)
        text = fraction ? "NaN" : sign + "infinity";
    else if (exponent === 0)
        text = fraction ?
            sign + (fraction * 2 ** (1 - bias - fractionBits)).toPrecision(3) + ", subnormal" :
            sign + "0";
    else
        text = sign +
            Number(((fraction + 2 ** fractionBits) * 2 ** (exponent - bias - fractionBits)).toPrecision(4));
    return {
        hex: "0x" + bits.toString(16).padStart(width / 4, "0"),
        sign: digits[0],
        exponent: digits.slice(1, 1 + exponentBits),
        fraction: digits.slice(1 + exponentBits),
        text
    };
}

/* The elements of a word, first in memory first. */
function decodeWord(dtype, word) {
    if (!FORMATS[dtype])
        return [];
    return dtype === "fp32" ? [decodeElement(dtype, word)] :
                              [decodeElement(dtype, word & 0xffff), decodeElement(dtype, word >>> 16)];
}

/* "arrived", "sentinel" or "refused": how the wait takes a word. */
function wordState(word, layout, compare) {
    if (layout.family === "trtllm") {
        if (layout.dtype === "fp32")
            return word === 0x80000000 ? "sentinel" : "arrived";
        if (word === 0x80008000)
            return "sentinel";
        return (word & 0xffff) === 0x8000 || word >>> 16 === 0x8000 ? "refused" : "arrived";
    }
    if (word === 0x80000000)
        return "sentinel";
    return compare === "float-ftz" && (word & 0xff800000) >>> 0 === 0x80000000 ? "refused" : "arrived";
}

function bitsElement(dtype, word) {
    const elements =
        decodeWord(dtype, word)
            .map(
                e =>
                    h("span", {class: "mono"}, e.hex + "  ", h("b", {class: "sign", title: "sign"}, e.sign),
                      " ", h("b", {class: "exponent", title: "exponent"}, e.exponent), " ",
                      h("b", {class: "fraction", title: "fraction"}, e.fraction), "  = " + e.text));
    return h("div", {class: "bits"}, elements);
}
