//! Settings beside the defaults that every check runs over.

/// Settings whose streams differ in kind from the defaults'. A codec's defaults are covered without being named here.
pub const MORE: &[&str] = &[
    "bitnet:planes=2,scale=row,threshold=mse",
    "bitnet:scale=group,threshold=twn",
    "bitshift:bits=1,rotate=false",
    "bitshift:bits=3,effort=fast",
    "ecsq:bits=1.0",
    "gptq:bits=3,group=16,symmetric=false,search=true",
    "gptq:group=0",
    "hqq:bits=2,group=0",
    "lloyd-max:bits=1",
    "nf4:double_quant=true",
    "rtn:bits=3,symmetric=false",
    "rtn:group=0",
    "seedlm-legacy:candidates=16",
    "seedlm-paper:block=12,coefficients=4",
    "seedlm-paper:candidates=64",
    "seedlm-progressive:block=16,layers=4,terms=1",
    "trellis:bits=1.07,effort=best",
    "trellis:bits=4.0",
    "trellis:bits=2.0,rotation=hadamard",
    "trellis:contexts=false,slope=16.0",
    "vptq:bits=3.0,vector=3,groups=2,refits=0",
    "vptq:bits=4.0,residual=false",
];
